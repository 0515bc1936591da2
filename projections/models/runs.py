"""The runs of each job: when, why, on which node, and how each ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from ledger.store.records import RecordedEvent
from projections.models.jobs import queries as job_questions
from projections.models.jobs.queries import MAX_PAGE, RECENT, read_cursor
from projections.stores.contract import RowReader
from projections.stores.model import Statement

NAME = "runs"
VERSION = 1
TABLES = ("runs",)
SCHEMA = """
CREATE TABLE runs{g} (
    job_id TEXT NOT NULL,
    fence BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    status TEXT NOT NULL,
    trigger TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    scheduled_for TEXT NOT NULL,
    node TEXT NOT NULL,
    started_at TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    ended_at TEXT,
    ended_position BIGINT,
    duration_ms BIGINT,
    output TEXT,
    output_bytes BIGINT,
    output_sha256 TEXT,
    error TEXT,
    failure_class TEXT,
    signature TEXT,
    PRIMARY KEY (job_id, fence)
) WITHOUT ROWID;
CREATE INDEX runs{g}_failed ON runs{g} (ended_position) WHERE status = 'failed';
"""

# A run that ends is always its job's latest: a job has one open run at most, and reports of older
# ones are refused.
_LATEST = (
    "job_id = :job_id AND fence = (SELECT MAX(fence) FROM runs{g} WHERE job_id = :job_id) AND "
    "run_id = :run_id"
)
_ENDED = "ended_at = :timestamp, ended_position = :position"

START = """
INSERT INTO runs{g} (
    job_id, fence, run_id, status, trigger, attempt, scheduled_for, node, started_at, lease_until
) VALUES (
    :job_id, :fence, :run_id, 'running', :trigger, :attempt, :scheduled_for, :node, :timestamp,
    :lease_until
)
"""
SUCCEED = f"""
UPDATE runs{{g}} SET status = 'succeeded', duration_ms = :duration_ms, output = :output,
output_bytes = :output_bytes,
    output_sha256 = :output_sha256, {_ENDED}
WHERE {_LATEST}
"""
FAIL = f"""
UPDATE runs{{g}} SET status = 'failed', duration_ms = :duration_ms, error = :error,
failure_class = :failure_class,
    signature = :signature, {_ENDED}
WHERE {_LATEST}
"""
LOSE = (
    f"UPDATE runs{{g}} SET status = 'lost', error = :cause, failure_class = 'lost', {_ENDED} "
    f"WHERE {_LATEST}"
)
BLOCK = (
    f"UPDATE runs{{g}} SET status = 'blocked', error = :cause, failure_class = 'blocked', "
    f"{_ENDED} WHERE {_LATEST}"
)

_STATEMENTS = {
    "job.run_started": START,
    "job.run_succeeded": SUCCEED,
    "job.run_failed": FAIL,
    "job.run_lost": LOSE,
    "job.run_blocked": BLOCK,
}

SHOWN = (
    "run_id, job_id, fence, status, trigger, attempt, scheduled_for, node, started_at, "
    "lease_until, ended_at, "
    "duration_ms, output, output_bytes, output_sha256, error, failure_class, signature"
)
PAGE = (
    f"SELECT {SHOWN} FROM runs WHERE job_id = :job_id AND fence < :before ORDER BY fence DESC "
    "LIMIT :limit"
)
RECENT_FAILURES = """
SELECT runs.job_id, jobs.name, runs.run_id, runs.ended_at AS failed_at, runs.failure_class,
runs.error
FROM runs JOIN jobs ON jobs.id = runs.job_id
WHERE runs.status = 'failed' ORDER BY runs.ended_position DESC LIMIT :limit
"""


def project(fact: RecordedEvent) -> Iterable[Statement]:
    """What one event changes in the list of runs."""
    sql = _STATEMENTS.get(fact.topic)
    if sql is None:
        return ()
    return ((sql, {**fact.data, "job_id": str(fact.stream), "position": fact.position}),)


def find(
    questions: RowReader, job_id: UUID, *, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of a job's runs, newest first, and the cursor of the next."""
    size = max(1, min(limit, MAX_PAGE))
    before = read_cursor(cursor) if cursor is not None else 2**62
    rows = questions.rows(PAGE, {"job_id": str(job_id), "before": before, "limit": size + 1})
    following = str(rows[size - 1]["fence"]) if len(rows) > size else None
    return [dict(row) for row in rows[:size]], following


def summary(questions: RowReader) -> dict[str, Any]:
    """How many jobs stand where, the next fire, and the newest failures."""
    return {
        **job_questions.summary(questions),
        "recent_failures": recent_failures(questions),
    }


def recent_failures(questions: RowReader) -> list[dict[str, Any]]:
    """The newest failed runs, with the names of their jobs."""
    return [dict(row) for row in questions.rows(RECENT_FAILURES, {"limit": RECENT})]

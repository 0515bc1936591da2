"""The runs of each job: when, why, on which node, and how each ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from ledger.domain.events import RunBlocked, RunFailed, RunLost, RunStarted, RunSucceeded
from ledger.store.records import RecordedEvent
from projections.filters.paging import BEYOND_EVERY_CURSOR, RECENT, cursor_or, read_page
from projections.models.jobs import queries as job_queries
from projections.stores.model import Statement
from projections.stores.rows import RowReader

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

# The run that ends is always the job's latest: a job has at most one open run, and results of older
# runs are refused.
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
    RunStarted.TOPIC: START,
    RunSucceeded.TOPIC: SUCCEED,
    RunFailed.TOPIC: FAIL,
    RunLost.TOPIC: LOSE,
    RunBlocked.TOPIC: BLOCK,
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


def project(event: RecordedEvent) -> Iterable[Statement]:
    """What one event changes in the list of runs."""
    sql = _STATEMENTS.get(event.topic)
    if sql is None:
        return ()
    return ((sql, {**event.data, "job_id": str(event.stream), "position": event.position}),)


def find(
    reader: RowReader, job_id: UUID, *, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of a job's runs, newest first, and the cursor of the next."""
    values = {"job_id": str(job_id), "before": cursor_or(cursor, BEYOND_EVERY_CURSOR)}
    rows, following = read_page(reader, PAGE, values, limit=limit, cursor="fence")
    return [dict(row) for row in rows], following


def summary(reader: RowReader) -> dict[str, Any]:
    """How many jobs have each status, the next fire, and the newest failures."""
    return {**job_queries.summary(reader), "recent_failures": recent_failures(reader)}


def recent_failures(reader: RowReader) -> list[dict[str, Any]]:
    """The newest failed runs, with the names of their jobs."""
    return [dict(row) for row in reader.rows(RECENT_FAILURES, {"limit": RECENT})]

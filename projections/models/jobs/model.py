"""The list of jobs: one row with everything that a list or a page shows of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from ledger.domain import events
from ledger.domain.streams.names import folded
from ledger.store.records import RecordedEvent
from projections.stores.model import Statement

NAME = "jobs"
VERSION = 4
TABLES = ("jobs", "job_tags")
SCHEMA = """
CREATE TABLE jobs{g} (
    id TEXT PRIMARY KEY,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    folded_name TEXT NOT NULL,
    description TEXT,
    status TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    schedule TEXT NOT NULL,
    task TEXT NOT NULL,
    executor TEXT,
    delivery TEXT,
    policy TEXT NOT NULL,
    tags TEXT NOT NULL,
    delete_after_run BIGINT NOT NULL,
    next_run_at TEXT,
    paused_until TEXT,
    open_run_id TEXT,
    open_scheduled_for TEXT,
    open_trigger TEXT,
    open_attempt BIGINT,
    open_fence BIGINT,
    open_node TEXT,
    open_started_at TEXT,
    open_lease_until TEXT,
    last_run_id TEXT,
    last_started_at TEXT,
    last_status TEXT,
    last_duration_ms BIGINT,
    last_error TEXT,
    last_failure_class TEXT,
    last_delivery TEXT,
    consecutive_errors BIGINT NOT NULL,
    consecutive_losses BIGINT NOT NULL,
    run_count BIGINT NOT NULL,
    version BIGINT NOT NULL,
    position BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX jobs{g}_by_number ON jobs{g} (number);
CREATE INDEX jobs{g}_by_status ON jobs{g} (status, number);
CREATE INDEX jobs{g}_by_next ON jobs{g} (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE INDEX jobs{g}_by_class ON jobs{g} (last_failure_class,
number) WHERE last_failure_class IS NOT NULL;
CREATE INDEX jobs{g}_by_position ON jobs{g} (position);
CREATE TABLE job_tags{g} (
    tag TEXT NOT NULL,
    number BIGINT NOT NULL,
    job_id TEXT NOT NULL,
    PRIMARY KEY (tag, number)
);
CREATE INDEX job_tags{g}_by_job ON job_tags{g} (job_id);
"""

# -- statements ---------------------------------------------------------------------------------

_MARK = "version = :version, position = :position, updated_at = :timestamp"
_REVISE = f"{_MARK}, revision = :version"
_RESUME = (
    "status = 'active', next_run_at = :next_run_at, paused_until = NULL, consecutive_errors = 0, "
    "consecutive_losses = 0"
)
_END = """
    last_run_id = :run_id, last_started_at = open_started_at, next_run_at = :next_run_at,
    open_run_id = NULL, open_scheduled_for = NULL, open_trigger = NULL, open_attempt = NULL,
    open_fence = NULL,
    open_node = NULL, open_started_at = NULL, open_lease_until = NULL
"""


def _update(changes: str, mark: str = _MARK) -> str:
    return f"UPDATE jobs{{g}} SET {changes}, {mark} WHERE id = :id"


INSERT = """
INSERT INTO jobs{g} (
    id, number, name, folded_name, description, status, enabled, schedule, task, executor, delivery,
    policy, tags, delete_after_run, next_run_at, consecutive_errors, consecutive_losses, run_count,
    version, position, revision, created_at, created_by, updated_at ) VALUES ( :id, :number, :name,
    :folded_name, :description, 'active', :enabled, :schedule, :task, :executor, :delivery, :policy,
    :tags, :delete_after_run, :next_run_at, 0, 0, 0, :version, :position, :version, :timestamp,
    :actor, :timestamp )
"""
PAUSE = _update("status = 'paused', paused_until = :until, next_run_at = NULL", _REVISE)
RESUME = _update(_RESUME, _REVISE)
MARK = _update("id = id")
START = _update(
    """
    open_run_id = :run_id, open_scheduled_for = :scheduled_for, open_trigger = :trigger,
    open_attempt = :attempt,
    open_fence = :fence, open_node = :node, open_started_at = :timestamp,
    open_lease_until = :lease_until,
    next_run_at = CASE WHEN :trigger = 'manual' THEN next_run_at END, run_count = run_count + 1
    """
)
SUCCEED = _update(
    f"{_END}, last_status = 'succeeded', last_duration_ms = :duration_ms, last_error = NULL, "
    "last_failure_class = NULL, consecutive_errors = 0, consecutive_losses = 0"
)
FAIL = _update(
    f"{_END}, last_status = 'failed', last_duration_ms = :duration_ms, last_error = :error, "
    "last_failure_class = :failure_class, consecutive_errors = :consecutive_errors, "
    "consecutive_losses = 0"
)
LOSE = _update(
    f"{_END}, last_status = 'lost', last_duration_ms = NULL, last_error = :cause, "
    "last_failure_class = 'lost', "
    "consecutive_losses = :consecutive_losses"
)
BLOCK = _update(
    f"{_END}, last_status = 'blocked', last_duration_ms = NULL, last_error = :cause, "
    "last_failure_class = 'blocked'"
)
SKIP = _update("next_run_at = :next_run_at")
TRIP = _update("status = 'failed', next_run_at = NULL", _REVISE)
DELIVER = _update("last_delivery = :last_delivery")
IMPORT = _update(
    "status = :status, next_run_at = :next_run_at, consecutive_errors = :consecutive_errors, "
    "run_count = :run_count",
    _REVISE,
)
IMPORT_RUN = _update(
    "last_run_id = NULL, last_started_at = :last_run_at, last_status = :last_status, "
    "last_duration_ms = NULL, "
    "last_error = :last_error, last_failure_class = NULL"
)
COMPLETE = _update("status = 'completed', next_run_at = NULL", _REVISE)
DELETE = _update("status = 'deleted', next_run_at = NULL", _REVISE)
UNTAG = "DELETE FROM job_tags{g} WHERE job_id = :id"
TAG = (
    "INSERT INTO job_tags{g} (tag, number, job_id) SELECT :tag, number, id FROM jobs{g} WHERE id "
    "= :id"
)
AMENDABLE = (
    "name", "description", "schedule", "task", "executor", "delivery", "policy", "tags", "enabled",
    "delete_after_run",
)  # fmt: skip
FLAGS = ("enabled", "delete_after_run")
NESTED = ("schedule", "executor", "delivery", "policy", "tags")


# -- from events to statements ------------------------------------------------------------------


def project(event: RecordedEvent) -> Iterable[Statement]:
    """What one event changes in the list."""
    statements = _STATEMENTS.get(event.topic)
    return statements(event) if statements is not None else ()


def _of(event: RecordedEvent) -> dict[str, Any]:
    own = {"id": str(event.stream), "version": event.version, "position": event.position}
    return {**event.data, **own}


def _one(sql: str) -> Callable[[RecordedEvent], Iterable[Statement]]:
    return lambda event: ((sql, _of(event)),)


def _scheduled(event: RecordedEvent) -> Iterable[Statement]:
    row = _of(event) | {"number": event.position, "actor": json_text(event.data["actor"])}
    yield INSERT, row | _columns({name: event.data[name] for name in AMENDABLE})
    yield from _tags(row["id"], event.data["tags"])


def _amended(event: RecordedEvent) -> Iterable[Statement]:
    changes = {name: value for name, value in event.data["changes"].items() if name in AMENDABLE}
    changed = _columns(changes)
    columns = "".join(f"{name} = :{name}, " for name in changed)
    yield _update(f"{columns}next_run_at = :next_run_at", _REVISE), _of(event) | changed
    if "tags" in changes:
        yield from _tags(str(event.stream), changes["tags"])


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a job as columns, always in the same order."""
    columns = {name: fields[name] for name in AMENDABLE if name in fields}
    columns |= {name: json_text(columns[name]) for name in NESTED if name in columns}
    columns |= {name: int(columns[name]) for name in FLAGS if name in columns}
    return columns | ({"folded_name": folded(columns["name"])} if "name" in columns else {})


def _tags(job_id: str, tags: list[str]) -> Iterable[Statement]:
    yield UNTAG, {"id": job_id}
    for tag in tags:
        yield TAG, {"id": job_id, "tag": tag}


def _delivered(event: RecordedEvent) -> Iterable[Statement]:
    status = "delivered" if event.topic == events.Delivered.TOPIC else "failed"
    own = {key: event.data[key] for key in ("channel", "target", "outcome")}
    delivery = {"run_id": event.data["run_id"], "status": status, **own}
    yield DELIVER, _of(event) | {"last_delivery": json_text(delivery)}


def _imported(event: RecordedEvent) -> Iterable[Statement]:
    yield IMPORT, _of(event)
    if event.data["last_run_at"] is not None:
        status = "failed" if event.data["last_error"] else "succeeded"
        yield IMPORT_RUN, _of(event) | {"last_status": status}


def _deleted(event: RecordedEvent) -> Iterable[Statement]:
    yield DELETE, _of(event)
    yield UNTAG, {"id": str(event.stream)}


def json_text(value: object) -> str | None:
    """A nested value as a column."""
    return None if value is None else orjson.dumps(value).decode()


_STATEMENTS: Mapping[str, Callable[[RecordedEvent], Iterable[Statement]]] = {
    events.Scheduled.TOPIC: _scheduled,
    events.Amended.TOPIC: _amended,
    events.Paused.TOPIC: _one(PAUSE),
    events.Resumed.TOPIC: _one(RESUME),
    events.ForceResumed.TOPIC: _one(RESUME),
    events.CircuitClosed.TOPIC: _one(RESUME),
    events.RunRequested.TOPIC: _one(MARK),
    events.RunStarted.TOPIC: _one(START),
    events.RunSucceeded.TOPIC: _one(SUCCEED),
    events.RunFailed.TOPIC: _one(FAIL),
    events.RunLost.TOPIC: _one(LOSE),
    events.RunBlocked.TOPIC: _one(BLOCK),
    events.FiresSkipped.TOPIC: _one(SKIP),
    events.CircuitTripped.TOPIC: _one(TRIP),
    events.CircuitHalfOpened.TOPIC: _one(MARK),
    events.Delivered.TOPIC: _delivered,
    events.DeliveryFailed.TOPIC: _delivered,
    events.Imported.TOPIC: _imported,
    events.Completed.TOPIC: _one(COMPLETE),
    events.Deleted.TOPIC: _deleted,
}

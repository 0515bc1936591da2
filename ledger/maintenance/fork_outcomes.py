"""How runs ended, stored in a fork so that they can end the same way again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from ledger.clock import from_microseconds, microseconds, parse_rfc3339
from ledger.store.hash_chain import EventRow

SCHEMA = """
CREATE TABLE IF NOT EXISTS recorded_runs (
    job BLOB NOT NULL,
    started_at INTEGER NOT NULL,
    scheduled_for INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    failure_class TEXT,
    signature TEXT,
    error TEXT,
    retry_seconds REAL,
    PRIMARY KEY (job, started_at)
) WITHOUT ROWID
"""
_INSERT = "INSERT OR IGNORE INTO recorded_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SHOWN = (
    "SELECT job, started_at, scheduled_for, attempt, status, duration_ms, failure_class, "
    "signature, error, retry_seconds FROM recorded_runs"
)
_SAME_SLOT = (
    f"{_SHOWN} WHERE job = :job AND scheduled_for = :slot AND attempt = :attempt "
    "ORDER BY started_at LIMIT 1"
)
_BEFORE = f"{_SHOWN} WHERE job = :job AND started_at <= :at ORDER BY started_at DESC LIMIT 1"
_AFTER = f"{_SHOWN} WHERE job = :job AND started_at > :at ORDER BY started_at LIMIT 1"


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run that succeeded or failed. Before it is stored, `error_text` is a text's id."""

    job: UUID
    started_at: datetime
    scheduled_for: datetime
    attempt: int
    status: str
    duration_ms: int
    failure_class: str | None = None
    signature: str | None = None
    error_text: str | None = None
    retry_seconds: float | None = None


class RunEndReader:
    """Matches ends to starts, event after event. Leaves out runs whose start was before, and lost
    or blocked ones: how they would have ended is unknown.
    """

    def __init__(self) -> None:
        self._open: dict[bytes, dict[str, Any]] = {}

    def take(self, row: EventRow) -> RecordedRun | None:
        """The run that this event ended, if it did."""
        if row.topic == "job.run_started":
            self._open[row.stream] = orjson.loads(row.state)
            return None
        if row.topic not in ("job.run_succeeded", "job.run_failed"):
            return None
        started = self._open.pop(row.stream, None)
        return _run(row, started, orjson.loads(row.state)) if started is not None else None


class RecordedRuns:
    """The recorded runs in a fork, by job and time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def like(
        self, job: UUID, *, scheduled_for: datetime, attempt: int, at: datetime
    ) -> RecordedRun | None:
        """The recorded run for the same slot and attempt; else the run of this job that started
        nearest to an instant. None where there is none.
        """
        slot = {"slot": microseconds(scheduled_for), "attempt": attempt}
        same = self._one(_SAME_SLOT, job, **slot)
        if same is not None:
            return same
        around = (self._one(sql, job, at=microseconds(at)) for sql in (_BEFORE, _AFTER))
        found = [run for run in around if run is not None]
        return min(found, key=lambda run: abs(run.started_at - at), default=None)

    def _one(self, sql: str, job: UUID, **values: int) -> RecordedRun | None:
        row = self._connection.execute(sql, {"job": job.bytes, **values}).fetchone()
        if row is None:
            return None
        stream, started_at, slot, *rest = row
        instants = from_microseconds(started_at), from_microseconds(slot)
        return RecordedRun(UUID(bytes=stream), *instants, *rest)


def store_runs(target: sqlite3.Connection, runs: Iterable[RecordedRun]) -> int:
    """Store the runs in a fork's file; returns how many they are."""
    target.execute(SCHEMA)
    count = 0
    for run in runs:
        target.execute(_INSERT, _values(run))
        count += 1
    return count


def _values(run: RecordedRun) -> tuple[Any, ...]:
    return (
        run.job.bytes,
        microseconds(run.started_at),
        microseconds(run.scheduled_for),
        run.attempt,
        run.status,
        run.duration_ms,
        run.failure_class,
        run.signature,
        run.error_text,
        run.retry_seconds,
    )


def _run(row: EventRow, started: dict[str, Any], ended: dict[str, Any]) -> RecordedRun:
    is_failure = row.topic == "job.run_failed"
    at = parse_rfc3339(ended["timestamp"])
    retry_at = ended.get("retry_after")
    error = ended.get("error")
    return RecordedRun(
        job=UUID(bytes=row.stream),
        started_at=parse_rfc3339(started["timestamp"]),
        scheduled_for=parse_rfc3339(started["scheduled_for"]),
        attempt=started["attempt"],
        status="failed" if is_failure else "succeeded",
        duration_ms=ended["duration_ms"],
        failure_class=ended.get("failure_class"),
        signature=ended.get("signature"),
        error_text=error[0] if isinstance(error, list) else None,
        retry_seconds=(parse_rfc3339(retry_at) - at).total_seconds() if retry_at else None,
    )

"""Gaps: the slots that jobs owed and events recorded as missed, one row for each such event.

What is not recorded yet is no row: it grows while time passes, and is counted when it is asked for
(`open_gaps`).
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.clock import microseconds, parse_rfc3339
from ledger.store.records import RecordedEvent
from projections.stores.model import Statement

NAME = "gaps"
VERSION = 1
TABLES = ("gaps",)
SCHEMA = """
CREATE TABLE gaps{g} (
    position BIGINT PRIMARY KEY,
    job_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    slot_count BIGINT NOT NULL,
    capped BIGINT NOT NULL,
    cause TEXT NOT NULL,
    recorded_at BIGINT NOT NULL
);
CREATE INDEX gaps{g}_by_job ON gaps{g} (job_id, position);
CREATE INDEX gaps{g}_by_cause ON gaps{g} (cause, position);
"""
INSERT = """
INSERT INTO gaps{g} (
    position, job_id, topic, first_at, last_at, slot_count, capped, cause, recorded_at
) VALUES (
    :position, :job_id, :topic, :first_at, :last_at, :slot_count, :capped, :cause, :recorded_at
)
"""


def project(fact: RecordedEvent) -> Iterable[Statement]:
    """What one event changes."""
    missed = fact.data.get("missed")
    if not missed:
        return ()
    values = {
        "position": fact.position,
        "job_id": str(fact.stream),
        "topic": fact.topic,
        "first_at": microseconds(parse_rfc3339(missed["first"])),
        "last_at": microseconds(parse_rfc3339(missed["last"])),
        "slot_count": missed["count"],
        "capped": int(missed["capped"]),
        "cause": missed["cause"],
        "recorded_at": fact.recorded_at,
    }
    return ((INSERT, values),)

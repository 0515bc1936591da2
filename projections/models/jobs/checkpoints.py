"""The list of jobs, with what is needed to answer how it was at any position of the past.

The columns that every run changes are copied at *checkpoints*: at each multiple of
`CHECKPOINT_EVERY`, the rows that changed since the checkpoint before. The columns that only
operators change are copied before each change. So a past list is a checkpoint, with later
definitions undone, and the few events between the checkpoint and the position
(`projections.time_travel.read_models`).
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.domain.events import Amended
from ledger.store.records import RecordedEvent
from projections.models.jobs import model as jobs
from projections.stores.model import Statement

CHECKPOINT_EVERY = 10_000
"""Positions between two checkpoints, and so the most events that an answer about the past applies.
Raise `jobs.VERSION` when you change it.
"""

MOVING = (
    "status", "next_run_at", "paused_until", "open_run_id", "open_scheduled_for", "open_trigger",
    "open_attempt", "open_fence", "open_node", "open_started_at", "open_lease_until", "last_run_id",
    "last_started_at", "last_status", "last_duration_ms", "last_error", "last_failure_class",
    "last_delivery", "consecutive_errors", "consecutive_losses", "run_count", "version", "position",
    "revision", "updated_at",
)  # fmt: skip
"""The columns that runs change."""
DEFINING = (*jobs.AMENDABLE, "folded_name")
"""The columns that only operators change."""
FIXED = ("id", "number", "created_at", "created_by")
_COUNTS = (
    "enabled", "delete_after_run", "open_attempt", "open_fence", "last_duration_ms",
    "consecutive_errors", "consecutive_losses", "run_count", "version", "position", "revision",
)  # fmt: skip


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {'BIGINT' if name in _COUNTS else 'TEXT'}" for name in names)


TABLES = ("past_jobs", "past_definitions")
SCHEMA = f"""
CREATE TABLE past_jobs{{g}} (
    number BIGINT NOT NULL,
    checkpoint BIGINT NOT NULL,
    {_columns(MOVING)},
    PRIMARY KEY (number, checkpoint)
) WITHOUT ROWID;
CREATE TABLE past_definitions{{g}} (
    number BIGINT NOT NULL,
    replaced_at BIGINT NOT NULL,
    {_columns(DEFINING)},
    PRIMARY KEY (number, replaced_at)
) WITHOUT ROWID;
"""
"""`checkpoint` and `replaced_at` are positions; a definition was valid until just before it was
replaced.
"""

INSERT_CHECKPOINT = f"""
INSERT INTO past_jobs{{g}} (number, checkpoint, {", ".join(MOVING)})
SELECT number, :checkpoint, {", ".join(MOVING)} FROM jobs{{g}} WHERE position > :previous
"""
INSERT_DEFINITION = f"""
INSERT INTO past_definitions{{g}} (number, replaced_at, {", ".join(DEFINING)})
SELECT number, :position, {", ".join(DEFINING)} FROM jobs{{g}} WHERE id = :id
"""

_DEFINED_THEN = ", ".join(
    f"CASE WHEN replaced.number IS NULL THEN jobs.{name} ELSE replaced.{name} END AS {name}"
    for name in DEFINING
)
_FIXED = ", ".join(f"jobs.{name}" for name in FIXED)
_MOVED = ", ".join(f"past.{name}" for name in MOVING)
AT_CHECKPOINT = f"""
SELECT {_FIXED}, {_MOVED}, {_DEFINED_THEN}
FROM jobs CROSS JOIN past_jobs AS past
LEFT JOIN past_definitions AS replaced
ON replaced.number = jobs.number AND replaced.replaced_at = (
    SELECT MIN(replaced_at) FROM past_definitions
    WHERE number = jobs.number AND replaced_at > :checkpoint
)
WHERE jobs.number <= :checkpoint AND past.number = jobs.number AND past.checkpoint = (
    SELECT MAX(checkpoint) FROM past_jobs WHERE number = jobs.number AND checkpoint <= :checkpoint
)
"""
"""Every job as it was right after a checkpoint. CROSS JOIN makes SQLite loop over the jobs first:
there are many more checkpoint rows than jobs.
"""


class JobCheckpoints:
    """See `projections.stores.model.Model`; there is a checkpoint at each multiple of `every`."""

    NAME = jobs.NAME
    VERSION = jobs.VERSION
    TABLES = (*jobs.TABLES, *TABLES)
    SCHEMA = jobs.SCHEMA + SCHEMA

    def __init__(self, every: int = CHECKPOINT_EVERY) -> None:
        self.every = every

    def project(self, event: RecordedEvent, /) -> Iterable[Statement]:
        """What one event changes in the list, and what is copied before or after it."""
        if event.topic == Amended.TOPIC:
            yield INSERT_DEFINITION, {"id": str(event.stream), "position": event.position}
        yield from jobs.project(event)
        if event.position % self.every == 0:
            previous = event.position - self.every
            yield INSERT_CHECKPOINT, {"checkpoint": event.position, "previous": previous}

    def checkpoint_before(self, position: int) -> int:
        """The last checkpoint at or before a position; 0 is that of the empty ledger."""
        return position - position % self.every

"""The list of jobs together with what it takes to tell how it stood at any position of the past.

What every run changes is kept in *frames*: at each position that is a multiple of so many, the rows
that changed since the frame before. What people change is kept as it was before each change. So a
past is a frame, with what was changed after it put back, and the few events from the frame on
(`projections.time_travel.read_models`).
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.store.records import RecordedEvent
from projections.models.jobs import model as jobs
from projections.stores.model import Statement

FRAME = 10_000
"""Positions between two frames: the most events that the answer to a question about the past has to
take in. Whoever changes it raises `jobs.VERSION`.
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
"""The columns that only people change."""
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
    frame BIGINT NOT NULL,
    {_columns(MOVING)},
    PRIMARY KEY (number, frame)
) WITHOUT ROWID;
CREATE TABLE past_definitions{{g}} (
    number BIGINT NOT NULL,
    replaced_at BIGINT NOT NULL,
    {_columns(DEFINING)},
    PRIMARY KEY (number, replaced_at)
) WITHOUT ROWID;
"""
"""`frame` and `replaced_at` are positions; what was replaced there held until just before."""

KEEP_FRAME = f"""
INSERT INTO past_jobs{{g}} (number, frame, {", ".join(MOVING)})
SELECT number, :frame, {", ".join(MOVING)} FROM jobs{{g}} WHERE position > :frame_before
"""
KEEP_DEFINITION = f"""
INSERT INTO past_definitions{{g}} (number, replaced_at, {", ".join(DEFINING)})
SELECT number, :position, {", ".join(DEFINING)} FROM jobs{{g}} WHERE id = :id
"""

_DEFINED_THEN = ", ".join(
    f"CASE WHEN replaced.number IS NULL THEN jobs.{name} ELSE replaced.{name} END AS {name}"
    for name in DEFINING
)
_FIXED = ", ".join(f"jobs.{name}" for name in FIXED)
_MOVED = ", ".join(f"past.{name}" for name in MOVING)
AT_FRAME = f"""
SELECT {_FIXED}, {_MOVED}, {_DEFINED_THEN}
FROM jobs CROSS JOIN past_jobs AS past
LEFT JOIN past_definitions AS replaced
ON replaced.number = jobs.number AND replaced.replaced_at = (
    SELECT MIN(replaced_at) FROM past_definitions
    WHERE number = jobs.number AND replaced_at > :frame
)
WHERE jobs.number <= :frame AND past.number = jobs.number AND past.frame = (
    SELECT MAX(frame) FROM past_jobs WHERE number = jobs.number AND frame <= :frame
)
"""
"""Every job as it stood right after the event of a frame. The jobs are gone through first (CROSS
JOIN binds SQLite): there are far more frames of them.
"""


class JobCheckpoints:
    """See `projections.stores.model.Model`; a frame stands at each multiple of `every`."""

    NAME = jobs.NAME
    VERSION = jobs.VERSION
    TABLES = (*jobs.TABLES, *TABLES)
    SCHEMA = jobs.SCHEMA + SCHEMA

    def __init__(self, every: int = FRAME) -> None:
        self.every = every

    def project(self, fact: RecordedEvent, /) -> Iterable[Statement]:
        """What one event changes in the list, and what has to be kept of the list before or after
        it.
        """
        if fact.topic == "job.amended":
            yield KEEP_DEFINITION, {"id": str(fact.stream), "position": fact.position}
        yield from jobs.project(fact)
        if fact.position % self.every == 0:
            yield (
                KEEP_FRAME,
                {"frame": fact.position, "frame_before": fact.position - self.every},
            )

    def checkpoint_before(self, position: int) -> int:
        """The last frame that stands at a position or before it; 0 is that of the empty book."""
        return position - position % self.every

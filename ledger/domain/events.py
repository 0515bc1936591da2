"""The events of a job: one class per topic, plain fields, explicit topics that never change.

A topic and its fields are permanent. A change is a new `class_version`, an `upcast_v1_v2`, and a
new golden file. `TEXTS` names the fields that contain people's words or program output: the store
keeps those apart from the event, so that they can be erased. `POSITIONS` names fields that contain
positions in the event store: of an event that is not appended yet only its stream and version are
known (`PositionOf`), and the append fills in the number when it assigns it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.domain import CanMutateAggregate, DomainEvent

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PositionOf:
    """The position that one event of the same append will get."""

    stream: UUID
    version: int


class Event(CanMutateAggregate[UUID], DomainEvent):
    """What every event carries: when (the injected clock's UTC), by which command, by whom, through
    which surface, and why.
    """

    TOPIC: ClassVar[str]
    TEXTS: ClassVar[tuple[str, ...]] = ()
    POSITIONS: ClassVar[tuple[str, ...]] = ()
    class_version: ClassVar[int] = 1

    command_id: str
    actor: dict[str, str]
    source: str
    correlation_id: str | None
    reason: str | None

    def apply(self, aggregate: Any) -> None:
        aggregate.evolve(self)


class Scheduled(Event):
    TOPIC = "job.scheduled"
    TEXTS = ("description", "task")

    name: str
    description: str | None
    schedule: Plain
    task: str
    executor: Plain | None
    delivery: Plain | None
    policy: Plain
    tags: list[str]
    enabled: bool
    delete_after_run: bool
    next_run_at: datetime | None
    planner: dict[str, str]


class Amended(Event):
    TOPIC = "job.amended"
    TEXTS = ("changes.description", "changes.task")

    changes: Plain
    next_run_at: datetime | None


class Paused(Event):
    TOPIC = "job.paused"

    until: datetime | None


class Resumed(Event):
    TOPIC = "job.resumed"

    next_run_at: datetime | None
    missed: Plain | None


class ForceResumed(Event):
    TOPIC = "job.force_resumed"
    TEXTS = ("last_error",)
    POSITIONS = ("trip_position",)

    next_run_at: datetime | None
    missed: Plain | None
    tripped_at: datetime | None
    trip_position: int | PositionOf | None
    cleared_errors: int
    last_error: str | None
    failure_class: str | None
    recovery_id: str | None


class RunRequested(Event):
    TOPIC = "job.run_requested"

    trigger: str


class RunStarted(Event):
    TOPIC = "job.run_started"

    run_id: str
    fence: int
    scheduled_for: datetime
    trigger: str
    attempt: int
    node: str
    lease_until: datetime


class RunSucceeded(Event):
    TOPIC = "job.run_succeeded"
    TEXTS = ("output",)

    run_id: str
    duration_ms: int
    output: str
    output_bytes: int
    output_sha256: str
    next_run_at: datetime | None
    missed: Plain | None


class RunFailed(Event):
    TOPIC = "job.run_failed"
    TEXTS = ("error",)

    run_id: str
    duration_ms: int
    error: str
    failure_class: str
    signature: str
    retry_after: datetime | None
    consecutive_errors: int
    next_run_at: datetime | None
    missed: Plain | None


class RunLost(Event):
    TOPIC = "job.run_lost"

    run_id: str
    node: str
    lease_until: datetime
    cause: str
    consecutive_losses: int
    next_run_at: datetime | None
    missed: Plain | None


class RunBlocked(Event):
    TOPIC = "job.run_blocked"

    run_id: str
    cause: str
    next_run_at: datetime | None
    missed: Plain | None


class FiresSkipped(Event):
    TOPIC = "job.fires_skipped"

    missed: Plain
    next_run_at: datetime | None


class CircuitTripped(Event):
    TOPIC = "job.circuit_tripped"
    TEXTS = ("last_error",)
    POSITIONS = ("first_error_position",)

    consecutive_errors: int
    threshold: int
    failure_class: str
    signature: str
    last_error: str | None
    first_error_position: int | PositionOf | None
    probe_at: datetime | None


class CircuitHalfOpened(Event):
    TOPIC = "job.circuit_half_opened"

    run_id: str


class CircuitClosed(Event):
    TOPIC = "job.circuit_closed"

    run_id: str
    next_run_at: datetime | None
    missed: Plain | None


class Delivered(Event):
    TOPIC = "job.delivered"

    run_id: str
    channel: str
    target: str | None
    outcome: str


class DeliveryFailed(Event):
    TOPIC = "job.delivery_failed"

    run_id: str
    channel: str
    target: str | None
    outcome: str


class Imported(Event):
    TOPIC = "job.imported"
    TEXTS = ("last_error",)

    origin: str
    origin_id: str
    status: str
    consecutive_errors: int
    last_error: str | None
    last_run_at: datetime | None
    run_count: int
    next_run_at: datetime | None
    imported: Plain


class Completed(Event):
    TOPIC = "job.completed"


class Deleted(Event):
    TOPIC = "job.deleted"


JOB_EVENTS: tuple[type[Event], ...] = (
    Scheduled, Amended, Paused, Resumed, ForceResumed, RunRequested, RunStarted, RunSucceeded,
    RunFailed, RunLost, RunBlocked, FiresSkipped, CircuitTripped, CircuitHalfOpened, CircuitClosed,
    Delivered, DeliveryFailed, Imported, Completed, Deleted,
)  # fmt: skip
"""Every `job.*` event class."""

ABOUT_A_RUN: frozenset[type[Event]] = frozenset(
    {
        RunRequested, RunStarted, RunSucceeded, RunFailed, RunLost, RunBlocked, FiresSkipped,
        CircuitHalfOpened, Delivered, DeliveryFailed,
    }
)  # fmt: skip
"""Events that leave a job's `revision` as it is, so that an edit does not become stale because the
job ran.
"""

STATUS_AFTER: Mapping[str, str] = {
    Scheduled.TOPIC: "active",
    Paused.TOPIC: "paused",
    Resumed.TOPIC: "active",
    ForceResumed.TOPIC: "active",
    CircuitClosed.TOPIC: "active",
    CircuitTripped.TOPIC: "failed",
    Completed.TOPIC: "completed",
    Deleted.TOPIC: "deleted",
}
"""The status of a job after an event, by topic; `job.imported` carries its own."""
RESUME_TOPICS = (Resumed.TOPIC, ForceResumed.TOPIC, CircuitClosed.TOPIC)
"""Events that make a paused or failed job active again."""
RUN_END_TOPICS = (RunSucceeded.TOPIC, RunFailed.TOPIC, RunLost.TOPIC, RunBlocked.TOPIC)

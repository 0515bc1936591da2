"""What the writer, the event store, the dispatcher and the notifier report to metrics and tracing,
in plain values.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from ledger.domain.job.state import OpenRun


@dataclass(frozen=True, slots=True)
class CommandBatch:
    """A batch that was answered: how many commands it had, how long each caller waited from
    submitting them to the answer, how long deciding and committing took, and what `caller` returned
    for each.
    """

    command_count: int
    waited_seconds: Sequence[float]
    seconds: float
    callers: Sequence[object]


@dataclass(frozen=True, slots=True)
class RunEnded:
    """How a run ended, as far as this node knows: succeeded, failed, blocked, lost, or deferred to
    a target that reports later.
    """

    outcome: str
    failure_class: str | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DeliverySent:
    """One attempt to deliver the result of a run."""

    job_id: UUID
    run_id: str
    channel: str
    is_sent: bool
    seconds: float


class Instrumentation(Protocol):
    """Called in the threads that do the work, so it must be fast and must not raise."""

    def caller(self) -> object:
        """Identifies who submits commands, in the caller's own thread and context; returned in
        `CommandBatch`.
        """

    def batch_answered(self, batch: CommandBatch) -> None:
        """A batch was answered."""

    def waited_for_append_lock(self, seconds: float) -> None:
        """An append waited so long for the append lock."""

    def step(self) -> AbstractContextManager[object]:
        """Surrounds one step of the dispatcher that submits commands."""

    def claimed(self, lag_seconds: float) -> None:
        """A run was claimed so long after it was due."""

    def run_began(self, job_id: UUID, run: OpenRun) -> str | None:
        """A run was claimed in the step under way, and is executed from now on. Returns the W3C
        `traceparent` for its target, if any.
        """

    def run_ended(self, run_id: str, ended: RunEnded) -> None:
        """A run that this node executed has ended, and its outcome is recorded."""

    def delivered(self, sent: DeliverySent) -> None:
        """A result was delivered, or failed to be."""


class NoInstrumentation:
    """No instrumentation: everything is discarded."""

    def caller(self) -> object:
        return None

    def batch_answered(self, batch: CommandBatch) -> None:
        pass

    def waited_for_append_lock(self, seconds: float) -> None:
        pass

    def step(self) -> AbstractContextManager[object]:
        return nullcontext()

    def claimed(self, lag_seconds: float) -> None:
        pass

    def run_began(self, job_id: UUID, run: OpenRun) -> str | None:  # noqa: ARG002
        return None

    def run_ended(self, run_id: str, ended: RunEnded) -> None:
        pass

    def delivered(self, sent: DeliverySent) -> None:
        pass

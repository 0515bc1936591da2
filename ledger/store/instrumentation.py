"""What the writer, the book, the dispatcher and the courier tell whoever measures or traces, in
plain values.
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
    """A batch that was answered: how many commands it had, how long each of its callers waited from
    handing them in to the answer, how long deciding and keeping took, and what `caller` gave for
    each.
    """

    command_count: int
    waited_seconds: Sequence[float]
    seconds: float
    callers: Sequence[object]


@dataclass(frozen=True, slots=True)
class RunEnded:
    """How a run ended, as far as this node knows: succeeded, failed, blocked, lost, or deferred to
    somebody who reports later.
    """

    outcome: str
    failure_class: str | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DeliverySent:
    """One attempt to deliver what a run had to say."""

    job_id: UUID
    run_id: str
    channel: str
    is_sent: bool
    seconds: float


class Instrumentation(Protocol):
    """Called in the threads that work, so it must be quick and must not raise."""

    def caller(self) -> object:
        """Who hands commands in, in the caller's own thread and context; comes back in `Batch`."""
        ...

    def took_batch(self, batch: CommandBatch) -> None:
        """A batch was answered."""
        ...

    def waited_for_turn(self, seconds: float) -> None:
        """An append waited so long until no other node was appending."""
        ...

    def step(self) -> AbstractContextManager[object]:
        """Surrounds one step of the dispatcher that hands commands in."""
        ...

    def claimed(self, lag_seconds: float) -> None:
        """A run was claimed so long after it was due."""
        ...

    def run_began(self, job_id: UUID, run: OpenRun) -> str | None:
        """A run was claimed in the step under way, and is executed from now on. Gives the W3C
        `traceparent` that its target is to be told, if any.
        """
        ...

    def run_ended(self, run_id: str, ended: RunEnded) -> None:
        """What this node executed has come to its end, and that is in the book."""
        ...

    def delivered(self, sent: DeliverySent) -> None:
        """A result was delivered, or could not be."""
        ...


class NoInstrumentation:
    """Nobody listens: everything is forgotten."""

    def caller(self) -> object:
        return None

    def took_batch(self, batch: CommandBatch) -> None:
        pass

    def waited_for_turn(self, seconds: float) -> None:
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

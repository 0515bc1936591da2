"""What the dispatcher hands to an executor, and the four outcomes that it can return.

Success and Failure are what the job itself records. An output is its first 4 KiB, fit to be
stored; its count and hash cover the raw bytes, up to the executor's own limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeAlias

from ledger.dispatch.executors.output import Redact
from ledger.domain.job.outcomes import Failure, Success
from ledger.store.instrumentation import RunEnded


@dataclass(frozen=True, slots=True)
class RunTicket:
    """One run to execute. `executor` is the job's map, or None for the agent; `fence` is the
    version of run_started.
    """

    run_id: str
    job_id: str
    name: str
    task: str
    scheduled_for: datetime
    attempt: int
    fence: int
    timeout_seconds: float
    executor: Mapping[str, Any] | None
    redact: Redact | None = field(default=None, repr=False)
    """Removes this node's secrets from the run's texts."""
    traceparent: str | None = None
    """The W3C trace context of the run, for targets that continue the trace."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing was executed and nothing was sent; `cause` says why and what to change."""

    cause: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """The target took the run over and reports later (HTTP 202); the dispatcher leaves the run
    open.
    """


Outcome: TypeAlias = Success | Failure | Blocked | Deferred


def ended_of(outcome: Outcome) -> RunEnded:
    """An outcome as instrumentation is given it."""
    match outcome:
        case Success():
            return RunEnded("succeeded", None, outcome.duration_ms)
        case Failure():
            return RunEnded("failed", outcome.failure_class, outcome.duration_ms)
        case Blocked():
            return RunEnded("blocked", "blocked")
        case Deferred():
            return RunEnded("deferred")


class Executor(Protocol):
    """Runs one kind of job, on the dispatcher's event loop."""

    kind: ClassVar[str]
    is_instant: ClassVar[bool]
    """Takes no concurrency slot: it returns without waiting for anything."""

    async def execute(self, ticket: RunTicket) -> Outcome:
        """The outcome, within `ticket.timeout_seconds` plus the time to end it. Raises nothing but
        CancelledError.
        """

    async def aclose(self) -> None:
        """Release the executor's resources; it is not used afterwards."""

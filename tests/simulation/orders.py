"""The commands of a simulation, as any surface makes them, and what a driver must implement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

from ledger.application.command_context import CommandContext, Idempotency
from ledger.application.commands import jobs as commands
from ledger.application.commands import runs as run_commands
from ledger.application.commands.command import Command, CommandResult
from ledger.domain.job import outcomes
from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.streams.idempotency import request_stream
from ledger.errors import LedgerError
from tests.simulation.fleet_model import MAX_LOSSES, Order
from tests.simulation.model import CHANGED, UNCHANGED
from tests.support.builders import SUCCESS, ManualClock, a_context, a_spec, an_id

STRANGER = an_id(0)
FAILURE = outcomes.Failure("429 Too Many Requests", "rate_limited", "api.example.com", None, 7)
SCHEDULES = {
    "every": {"kind": "every", "interval_seconds": 60},
    "cron": {"kind": "cron", "expr": "0 * * * *"},
}


@dataclass(frozen=True)
class Reply:
    """An answer, as the model words it, and everything the caller got."""

    answer: str
    body: object = None
    job_id: UUID | None = None


class Driver(Protocol):
    """A driver of a ledger. Jobs are known by number, in the order they were scheduled."""

    clock: ManualClock
    ids: list[UUID]

    def give(self, order: Order) -> Reply:
        """Execute an order."""

    def position(self) -> int:
        """The last position."""

    def head(self, job_id: UUID) -> Job | None:
        """A job as the next decision would find it; None when it is not cached."""

    def fold(self, job_id: UUID) -> Job:
        """A job from its events alone."""

    def shown(self, job_id: UUID) -> dict[str, Any] | None:
        """A job as callers see it; None when it is not found."""

    def count(self) -> int:
        """How many jobs there are."""

    def restart(self) -> None:
        """End the process in good order, and start the next."""

    def close(self) -> None: ...


def spec_of(order: Order) -> dict[str, Any]:
    """The spec of a job to schedule."""
    given = dict(order.fields)
    schedule = SCHEDULES.get(given["kind"], {"kind": "at", "at": given["at"]})
    policy = {"trip_after": given["trip_after"], "max_losses": MAX_LOSSES}
    return a_spec(name=given["name"], schedule=schedule, policy=policy)


def patch_of(order: Order) -> dict[str, Any]:
    """The merge patch of an amend or a rename."""
    return dict(order.fields)


def scheduling(order: Order, job_id: UUID, call: CommandContext) -> Command[CommandResult]:
    """The order as the command that schedules a job."""
    return commands.ScheduleJob(job_id, spec_of(order), call)


def command_of(order: Order, job_id: UUID, run_id: str, call: CommandContext) -> Command[Any]:
    """The order as a command on a job that was scheduled."""
    make: dict[str, Callable[[], Command[Any]]] = {
        "amend": lambda: commands.AmendJob(job_id, patch_of(order), call),
        "rename": lambda: commands.AmendJob(job_id, patch_of(order), call),
        "pause": lambda: commands.PauseJob(job_id, None, call),
        "resume": lambda: commands.ResumeJob(job_id, ResumeOptions(), call),
        "force": lambda: commands.ResumeJob(job_id, ResumeOptions(force=True), call),
        "run": lambda: commands.RequestRun(job_id, call),
        "delete": lambda: commands.DeleteJob(job_id, call),
        "fire": lambda: run_commands.ClaimRun(job_id, call, node="n", is_late=False),
        "succeed": lambda: run_commands.RecordOutcome(job_id, run_id, SUCCESS, call),
        "fail": lambda: run_commands.RecordOutcome(job_id, run_id, FAILURE, call),
        "block": lambda: run_commands.RecordOutcome(job_id, run_id, "the target is refused", call),
        "lose": lambda: run_commands.LoseRun(job_id, run_id, "lease_expired", call),
    }
    return make[order.what]()


def replied(order: Order, ask: Callable[[], Any]) -> Reply:
    """The reply to what `ask` returns or raises."""
    try:
        result = ask()
    except LedgerError as refusal:
        return Reply(refusal.code)
    if isinstance(result, CommandResult):
        return Reply(CHANGED if result.changed else UNCHANGED, result.job, result.job_id)
    is_nothing = result is False or (order.what == "fire" and result is None)
    return Reply(UNCHANGED if is_nothing else CHANGED)


def context_of(order: Order, clock: ManualClock) -> CommandContext:
    """The context of an order."""
    kept = None
    if order.key is not None:
        stream = request_stream("olga", "POST", repr(order.address), order.key)
        body = repr((order.what, order.fields)).encode()
        kept = Idempotency(order.key, stream, sha256(body).hexdigest())
    context = a_context(clock.now(), reason="the order")
    return replace(context, revision=order.revision, idempotency=kept)


def open_run_of(driver: Driver, job_id: UUID) -> str:
    """The run under way, or one that never existed."""
    head = driver.head(job_id)
    return head.open_run.run_id if head and head.open_run else str(STRANGER)

"""Commands on recoveries: requests of operators, and the steps that the driver takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands.command import (
    Command,
    FirstAnswer,
    PositionedResult,
    RepeatableCommand,
)
from ledger.application.job_cache import JobCache
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.recovery.plan import NothingToResume, Plan, Refusal, Terms, make_plan
from ledger.domain.recovery.recovery import ASKED, Recovery
from ledger.domain.recovery.selection import Selection
from ledger.domain.recovery.stagger import ResumingJob
from ledger.errors import InvalidField
from ledger.store.event_queries import EventQueries


@dataclass(slots=True)
class RecoveryResult(PositionedResult):
    """Which recovery a command was about, at which version, and whether anything changed."""

    stream: UUID
    version: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan would resume if it started now; none of it is recorded. `names` are those of the
    refused jobs that have one.
    """

    selection: Selection
    terms: Terms
    jobs: tuple[ResumingJob, ...]
    refused: tuple[Refusal, ...]
    names: dict[UUID, str]


@dataclass(frozen=True, slots=True)
class StartRecovery(RepeatableCommand[RecoveryResult]):
    """Start a recovery. Refuses InvalidField and NothingToResume; jobs are refused one by one."""

    selection: Selection
    terms: Terms
    context: CommandContext

    def prepare(self, cache: JobCache) -> None:
        prepare_next_slots(cache, self.context.now)

    def execute(self, unit: UnitOfWork) -> RecoveryResult:
        unit.require_unanswered(self.context)
        if unit.limits.requires_reason and not self.context.reason:
            raise InvalidField("reason", "is required to force jobs (JOBLEDGER_REQUIRE_REASON)")
        number, plan = _plan(unit, self.selection, self.terms, self.context.now)
        if not plan.jobs:
            raise NothingToResume(plan.refused)
        recovery = unit.recovery(number)
        recovery.plan(number, plan, self.context)
        return _changed(unit, recovery, self.context, status=201)

    def answer_again(self, first: FirstAnswer, queries: EventQueries) -> RecoveryResult:
        return _repeated(first, queries)


@dataclass(frozen=True, slots=True)
class PreviewRecovery(Command[Forecast]):
    """Plan a recovery, and record nothing."""

    selection: Selection
    terms: Terms
    context: CommandContext

    def prepare(self, cache: JobCache) -> None:
        prepare_next_slots(cache, self.context.now)

    def execute(self, unit: UnitOfWork) -> Forecast:
        _, plan = _plan(unit, self.selection, self.terms, self.context.now)
        jobs = tuple(ResumingJob.of(job) for job in plan.jobs)
        names = {one.job_id: unit.peek(one.job_id).name for one in plan.refused}
        return Forecast(self.selection, self.terms, jobs, plan.refused, names)


@dataclass(frozen=True, slots=True)
class StepRecovery(Command[bool]):
    """Resume the next job of a recovery, on behalf of its planner. False when the recovery changed
    since it was read: another node drives it, or it has ended.
    """

    number: int
    seen_version: int
    now: datetime
    command_id: str

    def execute(self, unit: UnitOfWork) -> bool:
        recovery = unit.recovery(self.number)
        if recovery.version != self.seen_version or not recovery.is_open or not recovery.remaining:
            return False
        job = unit.job(UUID(recovery.remaining[0]))
        recovery.step(job, recovery.step_context(self.now, self.command_id))
        return True


@dataclass(frozen=True, slots=True)
class AbortFailingRecovery(Command[bool]):
    """Abort a recovery because its probe failed or too many jobs tripped again. False as for
    `StepRecovery`.
    """

    number: int
    seen_version: int
    cause: str
    re_trips: int
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> bool:
        recovery, context = unit.recovery(self.number), self.context
        if recovery.version != self.seen_version:
            return False
        return recovery.abort(self.cause, self.re_trips, context)


@dataclass(frozen=True, slots=True)
class CompleteRecovery(Command[bool]):
    """End a recovery that has resumed all its jobs. False as for `StepRecovery`."""

    number: int
    seen_version: int
    re_trips: int
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> bool:
        recovery, context = unit.recovery(self.number), self.context
        if recovery.version != self.seen_version or recovery.remaining:
            return False
        return recovery.complete(self.re_trips, context)


@dataclass(frozen=True, slots=True)
class AbortRecovery(RepeatableCommand[RecoveryResult]):
    """Abort a recovery at an operator's request; one that has ended stays as it is."""

    number: int
    re_trips: int
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> RecoveryResult:
        unit.require_unanswered(self.context)
        recovery, context = unit.recovery(self.number), self.context
        if not recovery.abort(ASKED, self.re_trips, context):
            return RecoveryResult(0, recovery.id, recovery.version, False)
        return _changed(unit, recovery, context, status=200)

    def answer_again(self, first: FirstAnswer, queries: EventQueries) -> RecoveryResult:
        return _repeated(first, queries)


def prepare_next_slots(cache: JobCache, now: datetime) -> None:
    """Compute the next slots of all jobs that may be resumed; each job caches its own."""
    for job in cache.snapshot():
        if job.status == "failed":
            job.next_slot(now)


def _plan(unit: UnitOfWork, selection: Selection, terms: Terms, now: datetime) -> tuple[int, Plan]:
    """The number of the next recovery, and what it would do."""
    number, taken = unit.recoveries.refresh() + 1, dict[str, str]()
    for recovery in _open_recoveries(unit):
        taken |= dict.fromkeys(recovery.remaining, recovery.name)
    while unit.recovery(number).version:  # planned in this very batch
        recovery = unit.recovery(number)
        taken |= dict.fromkeys(recovery.remaining if recovery.is_open else (), recovery.name)
        number += 1
    candidates = [unit.peek(job_id) for job_id in selection.propose(unit.live_jobs())]
    probe = unit.peek(terms.probe) if terms.probe is not None else None
    return number, make_plan(selection, terms, candidates, planned_in=taken, now=now, probe=probe)


def _open_recoveries(unit: UnitOfWork) -> Iterator[Recovery]:
    recoveries = (unit.recovery(number) for number in list(unit.recoveries.open))
    return (recovery for recovery in recoveries if recovery.is_open)


def _changed(
    unit: UnitOfWork, recovery: Recovery, context: CommandContext, *, status: int
) -> RecoveryResult:
    unit.remember_answer(context, recovery, recovery.version - 1, status)
    return RecoveryResult(0, recovery.id, recovery.version, True)


def _repeated(first: FirstAnswer, _: EventQueries) -> RecoveryResult:
    return RecoveryResult(first.position, first.stream, first.version, True)

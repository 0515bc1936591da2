"""The commands about recoveries: what operators ask, and what goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands.jobs import CommandContext, repeated_answer
from ledger.application.open_recoveries import OpenRecoveries
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.recovery.plan import NothingToResume, Plan, Refusal, Terms, make_plan
from ledger.domain.recovery.recovery import ASKED, Recovery
from ledger.domain.recovery.selection import Selection
from ledger.domain.recovery.stagger import Returning
from ledger.domain.streams.idempotency import Answered
from ledger.errors import InvalidField


@dataclass(slots=True)
class RecoveryAnswer:
    """What a command about a recovery answers: which one, and where the book stood. `stream` and
    `version` say what was seen.
    """

    stream: UUID
    version: int
    changed: bool
    position: int = 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan would bring back if it began now; nothing of it is kept."""

    selection: Selection
    terms: Terms
    jobs: tuple[Returning, ...]
    refused: tuple[Refusal, ...]
    names: dict[UUID, str]
    """The names of the refused ones that have one."""


def plan(
    selection: Selection,
    terms: Terms,
    call: CommandContext,
    known: OpenRecoveries,
    *,
    requires_reason: bool,
) -> Command[RecoveryAnswer]:
    """Begin a recovery. Refuses InvalidField and NobodyToRevive; jobs are refused one by one."""

    def command(unit: UnitOfWork) -> RecoveryAnswer:
        repeated = repeated_answer(unit, call)
        if repeated is not None:
            return RecoveryAnswer(repeated.job_id, repeated.version, True, repeated.position)
        if requires_reason and not call.metadata.reason:
            raise InvalidField("reason", "is needed to force jobs (JOBLEDGER_REQUIRE_REASON)")
        number, planned = _judged(unit, selection, terms, call.now, known)
        if not planned.jobs:
            raise NothingToResume(planned.refused)
        recovery = unit.recovery(number)
        recovery.plan(number, planned, now=call.now, metadata=call.metadata)
        return _answered(unit, recovery, call, status=201)

    return command


def rehearse(
    selection: Selection, terms: Terms, now: datetime, known: OpenRecoveries
) -> Command[Forecast]:
    """Judge as a plan would, and keep nothing."""

    def command(unit: UnitOfWork) -> Forecast:
        _, planned = _judged(unit, selection, terms, now, known)
        jobs = tuple(Returning.of(job) for job in planned.jobs)
        names = {one.job_id: unit.peek(one.job_id).name for one in planned.refused}
        return Forecast(selection, terms, jobs, planned.refused, names)

    return command


def step(number: int, seen_version: int, now: datetime, command_id: str) -> Command[bool]:
    """Give the next job its turn. False when the recovery is not any more as it was seen: another
    node went on with it, or it has ended.
    """

    def command(unit: UnitOfWork) -> bool:
        recovery = unit.recovery(number)
        if recovery.version != seen_version or not recovery.is_open or not recovery.left:
            return False
        job = unit.job(UUID(recovery.left[0]))
        recovery.step(job, now=now, metadata=recovery.origin_of_step(command_id))
        return True

    return command


def break_off(
    number: int, seen_version: int, cause: str, re_trips: int, call: CommandContext
) -> Command[bool]:
    """End a recovery because of what came of it; False as for `step`."""

    def command(unit: UnitOfWork) -> bool:
        recovery = unit.recovery(number)
        is_seen = recovery.version == seen_version
        return is_seen and recovery.abort(cause, re_trips, now=call.now, metadata=call.metadata)

    return command


def complete(number: int, seen_version: int, re_trips: int, call: CommandContext) -> Command[bool]:
    """End a recovery that is through; False as for `step`."""

    def command(unit: UnitOfWork) -> bool:
        recovery = unit.recovery(number)
        is_seen = recovery.version == seen_version and not recovery.left
        return is_seen and recovery.complete(re_trips, now=call.now, metadata=call.metadata)

    return command


def abort(number: int, re_trips: int, call: CommandContext) -> Command[RecoveryAnswer]:
    """Stop a recovery because somebody wants it; one that has ended is left as it is."""

    def command(unit: UnitOfWork) -> RecoveryAnswer:
        repeated = repeated_answer(unit, call)
        if repeated is not None:
            return RecoveryAnswer(repeated.job_id, repeated.version, True, repeated.position)
        recovery = unit.recovery(number)
        if not recovery.abort(ASKED, re_trips, now=call.now, metadata=call.metadata):
            return RecoveryAnswer(recovery.id, recovery.version, False)
        return _answered(unit, recovery, call, status=200)

    return command


def _judged(
    unit: UnitOfWork, selection: Selection, terms: Terms, now: datetime, known: OpenRecoveries
) -> tuple[int, Plan]:
    """The number that the next recovery will have, and what it would do."""
    known.look()
    number, taken = known.last + 1, dict[str, str]()
    for recovery in _recoveries(unit, known):
        taken |= dict.fromkeys(recovery.left if recovery.is_open else (), recovery.name)
    while unit.recovery(number).version:  # planned in this very batch
        recovery = unit.recovery(number)
        taken |= dict.fromkeys(recovery.left if recovery.is_open else (), recovery.name)
        number += 1
    candidates = [unit.peek(job_id) for job_id in selection.propose(unit.live_jobs())]
    probe = unit.peek(terms.probe) if terms.probe is not None else None
    return number, make_plan(selection, terms, candidates, taken=taken, now=now, probe=probe)


def _recoveries(unit: UnitOfWork, known: OpenRecoveries) -> Iterator[Recovery]:
    for number in list(known.open):
        yield unit.recovery(number)


def _answered(
    unit: UnitOfWork, recovery: Recovery, call: CommandContext, *, status: int
) -> RecoveryAnswer:
    if call.idempotency is not None:
        version = recovery.version
        answered = Answered(call.idempotency.fingerprint, status, recovery.id, version, (version,))
        unit.request(call.idempotency.stream).answer(answered, now=call.now, metadata=call.metadata)
    return RecoveryAnswer(recovery.id, recovery.version, True)

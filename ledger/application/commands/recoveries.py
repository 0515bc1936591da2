"""The commands about recoveries: what operators ask, and what goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands.jobs import Call, repeated_answer
from ledger.application.open_recoveries import KnownRecoveries
from ledger.application.unit_of_work import Unit
from ledger.domain.recovery.plan import NobodyToRevive, Plan, Refusal, Terms, make_plan
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
    call: Call,
    known: KnownRecoveries,
    *,
    requires_reason: bool,
) -> Command[RecoveryAnswer]:
    """Begin a recovery. Refuses InvalidField and NobodyToRevive; jobs are refused one by one."""

    def command(unit: Unit) -> RecoveryAnswer:
        repeated = repeated_answer(unit, call)
        if repeated is not None:
            return RecoveryAnswer(repeated.job_id, repeated.version, True, repeated.position)
        if requires_reason and not call.by.reason:
            raise InvalidField("reason", "is needed to force jobs (JOBLEDGER_REQUIRE_REASON)")
        number, planned = _judged(unit, selection, terms, call.now, known)
        if not planned.jobs:
            raise NobodyToRevive(planned.refused)
        recovery = unit.recovery(number)
        recovery.plan(number, planned, now=call.now, by=call.by)
        return _answered(unit, recovery, call, status=201)

    return command


def rehearse(
    selection: Selection, terms: Terms, now: datetime, known: KnownRecoveries
) -> Command[Forecast]:
    """Judge as a plan would, and keep nothing."""

    def command(unit: Unit) -> Forecast:
        _, planned = _judged(unit, selection, terms, now, known)
        jobs = tuple(Returning.of(job) for job in planned.jobs)
        names = {one.job_id: unit.glance_at(one.job_id).name for one in planned.refused}
        return Forecast(selection, terms, jobs, planned.refused, names)

    return command


def step(number: int, seen_version: int, now: datetime, command_id: str) -> Command[bool]:
    """Give the next job its turn. False when the recovery is not any more as it was seen: another
    node went on with it, or it has ended.
    """

    def command(unit: Unit) -> bool:
        recovery = unit.recovery(number)
        if recovery.version != seen_version or not recovery.is_open or not recovery.left:
            return False
        job = unit.job(UUID(recovery.left[0]))
        recovery.step(job, now=now, by=recovery.origin_of_step(command_id))
        return True

    return command


def break_off(
    number: int, seen_version: int, cause: str, re_trips: int, call: Call
) -> Command[bool]:
    """End a recovery because of what came of it; False as for `step`."""

    def command(unit: Unit) -> bool:
        recovery = unit.recovery(number)
        is_seen = recovery.version == seen_version
        return is_seen and recovery.abort(cause, re_trips, now=call.now, by=call.by)

    return command


def complete(number: int, seen_version: int, re_trips: int, call: Call) -> Command[bool]:
    """End a recovery that is through; False as for `step`."""

    def command(unit: Unit) -> bool:
        recovery = unit.recovery(number)
        is_seen = recovery.version == seen_version and not recovery.left
        return is_seen and recovery.complete(re_trips, now=call.now, by=call.by)

    return command


def abort(number: int, re_trips: int, call: Call) -> Command[RecoveryAnswer]:
    """Stop a recovery because somebody wants it; one that has ended is left as it is."""

    def command(unit: Unit) -> RecoveryAnswer:
        repeated = repeated_answer(unit, call)
        if repeated is not None:
            return RecoveryAnswer(repeated.job_id, repeated.version, True, repeated.position)
        recovery = unit.recovery(number)
        if not recovery.abort(ASKED, re_trips, now=call.now, by=call.by):
            return RecoveryAnswer(recovery.id, recovery.version, False)
        return _answered(unit, recovery, call, status=200)

    return command


def _judged(
    unit: Unit, selection: Selection, terms: Terms, now: datetime, known: KnownRecoveries
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
    candidates = [unit.glance_at(job_id) for job_id in selection.propose(unit.live_jobs())]
    probe = unit.glance_at(terms.probe) if terms.probe is not None else None
    return number, make_plan(selection, terms, candidates, taken=taken, now=now, probe=probe)


def _recoveries(unit: Unit, known: KnownRecoveries) -> Iterator[Recovery]:
    for number in list(known.open):
        yield unit.recovery(number)


def _answered(unit: Unit, recovery: Recovery, call: Call, *, status: int) -> RecoveryAnswer:
    if call.idempotency is not None:
        version = recovery.version
        answered = Answered(call.idempotency.fingerprint, status, recovery.id, version, (version,))
        unit.request(call.idempotency.stream).answer(answered, now=call.now, by=call.by)
    return RecoveryAnswer(recovery.id, recovery.version, True)

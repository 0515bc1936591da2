"""Jobs from other schedulers, many at a time: each is taken over, or refused, by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands import jobs as commands
from ledger.application.commands.jobs import CommandContext, CommandResult, Idempotency
from ledger.application.unit_of_work import UnitOfWork
from ledger.clock import rfc3339
from ledger.domain.job.imports import Past, parse_origin, parse_past
from ledger.domain.job.job import Job
from ledger.domain.job.spec import parse_spec
from ledger.domain.job.view import view
from ledger.domain.schedule.recurrence import next_fire, planner
from ledger.domain.schedule.schedules import parse_schedule
from ledger.domain.streams.idempotency import request_stream
from ledger.domain.streams.names import name_stream
from ledger.errors import JobLimit, LedgerError, NameTaken, Refused

SOURCE = "import"
Result = CommandResult | LedgerError


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job about to be taken over: its new id, what it shall be, and what it was."""

    job_id: UUID
    spec: Mapping[str, Any]
    past: Past

    def command(self, call: CommandContext, *, max_jobs: int | None) -> Command[CommandResult]:
        """The command that keeps it: one append, whatever becomes of its neighbours."""
        return commands.schedule(self.job_id, self.spec, call, max_jobs=max_jobs, past=self.past)


Arriving = Arrival | LedgerError


def arrival(origin: str, given: object, job_id: UUID, *, now: datetime) -> Arriving:
    """One job as a caller gives it, checked and looked ahead as a new one is; or its refusal."""
    try:
        past = parse_past(origin, given)
        asked: Mapping[str, Any] = given["spec"]  # type: ignore[index]  # parse_past has seen it
        spec = parse_spec(asked, planner=planner(), anchor_at=rfc3339(now))
        past.require_fires(spec["schedule"], now=now)
        next_fire(parse_schedule(spec["schedule"]), after=now)  # remembered for the decision
    except LedgerError as refusal:
        return refusal
    return Arrival(job_id, spec, past)


def call_for(call: CommandContext, number: int, command_id: UUID) -> CommandContext:
    """The circumstances of one job of many: a command of its own, with source `import`.

    An idempotency key holds for each place in the body, so that a repeated import answers again
    what it kept and decides the rest.
    """
    metadata = replace(call.metadata, command_id=str(command_id), source=SOURCE)
    key = call.idempotency
    if key is not None:
        stream = request_stream(str(key.stream), SOURCE, str(number), key.key)
        key = Idempotency(key.key, stream, key.fingerprint)
    return CommandContext(call.now, metadata, idempotency=key)


@dataclass(slots=True)
class Rehearsal:
    """A dry run: everything is decided, nothing recorded. Names and places that earlier jobs of it
    would have are held by their ids, so that it may be decided again with the same outcome.
    """

    max_jobs: int | None
    names: dict[UUID, UUID] = field(default_factory=dict)
    jobs: dict[UUID, int] = field(default_factory=dict)

    def command(self, arriving: Arrival, call: CommandContext) -> Command[CommandResult]:
        """What would become of one job; its `id` in the answer is None, for it gets none."""

        def command(unit: UnitOfWork) -> CommandResult:
            job_id, name = arriving.job_id, str(arriving.spec["name"])
            place = self.jobs.get(job_id, len(self.jobs))
            if self.max_jobs is not None and unit.job_count + place >= self.max_jobs:
                raise JobLimit(self.max_jobs)
            unit.name(name).require_free(name, job_id)
            if self.names.setdefault(name_stream(name), job_id) != job_id:
                raise NameTaken(name, "before it in this import")
            self.jobs[job_id] = place
            job = Job.blank(job_id)
            commands.begin(job, arriving.spec, arriving.past, call)
            return CommandResult(job_id, view(job) | {"id": None}, False, job.version)

        return command


def prepare(
    origin: str,
    jobs: Sequence[object],
    call: CommandContext,
    *,
    new_id: Callable[[], UUID],
    max_jobs: int | None,
    dry_run: bool,
) -> tuple[list[Arriving], list[Command[CommandResult]]]:
    """The jobs that arrive, or their refusals, and a command for each that was not refused.

    Refuses InvalidField for an origin that is none.
    """
    word = parse_origin(origin)
    arriving = [arrival(word, given, new_id(), now=call.now) for given in jobs]
    rehearsal = Rehearsal(max_jobs)
    some = []
    for number, one in enumerate(arriving):
        if isinstance(one, LedgerError):
            continue
        own = call_for(call, number, new_id())
        some.append(rehearsal.command(one, own) if dry_run else one.command(own, max_jobs=max_jobs))
    return arriving, some


def merged(arriving: Sequence[Arriving], results: Sequence[Any]) -> list[Result]:
    """A result for each job, in the order given: what the writer answered, or why it never got
    there. What is no decision about a job (a full disk, a mistake of ours) is raised: the answer to
    the whole import is then no, though jobs before it may be in the book.
    """
    decided = iter(results)
    found: list[Result] = []
    for one in arriving:
        result = one if isinstance(one, LedgerError) else next(decided)
        if isinstance(result, BaseException) and not isinstance(result, Refused):
            raise result
        found.append(result)
    return found

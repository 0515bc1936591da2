"""Commands that import jobs of other schedulers: each job is imported, or refused, by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from ledger.application.command_context import CommandContext, Idempotency
from ledger.application.commands.command import Command, CommandResult, result_of
from ledger.application.commands.jobs import ScheduleJob
from ledger.application.job_cache import JobCache
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.job.imports import parse_origin, parse_past
from ledger.domain.job.job import Job
from ledger.domain.streams.idempotency import request_stream
from ledger.domain.streams.names import name_stream
from ledger.errors import JobLimit, LedgerError, NameTaken

SOURCE = "import"


@dataclass(slots=True)
class DryRunState:
    """The ids and names that earlier jobs of a dry run would have. Stored by job id, so that a
    command that is decided again has the same outcome.
    """

    names: dict[UUID, UUID] = field(default_factory=dict)
    jobs: dict[UUID, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DryRunImport(Command[CommandResult]):
    """Decide what importing a job would do, and record nothing; `id` in the answer is None."""

    schedule: ScheduleJob
    state: DryRunState

    def prepare(self, cache: JobCache) -> None:
        self.schedule.prepare(cache)

    def execute(self, unit: UnitOfWork) -> CommandResult:
        job_id, name = self.schedule.job_id, str(self.schedule.parsed_spec["name"])
        limit = unit.limits.max_jobs
        index = self.state.jobs.get(job_id, len(self.state.jobs))
        if limit is not None and unit.job_count + index >= limit:
            raise JobLimit(limit)
        unit.name(name).require_free(name, job_id)
        if self.state.names.setdefault(name_stream(name), job_id) != job_id:
            raise NameTaken(name, "before it in this import")
        self.state.jobs[job_id] = index
        job = Job.blank(job_id)
        self.schedule.begin(job)
        result = result_of(job, changed=False)
        result.job["id"] = None
        return result


def import_commands(
    origin: str,
    jobs: Sequence[object],
    context: CommandContext,
    *,
    new_id: Callable[[], UUID],
    dry_run: bool,
) -> list[Command[CommandResult] | LedgerError]:
    """A command for each job as a caller gives it, or its refusal. Refuses InvalidField for an
    origin that is not valid.
    """
    origin, state = parse_origin(origin), DryRunState()

    def command(number: int, given: object) -> Command[CommandResult] | LedgerError:
        try:
            past = parse_past(origin, given)
        except LedgerError as refusal:
            return refusal
        spec: Mapping[str, Any] = given["spec"]  # type: ignore[index]  # parse_past has checked it
        own = _context_of(context, number, new_id())
        schedule = ScheduleJob(new_id(), spec, own, past)
        return DryRunImport(schedule, state) if dry_run else schedule

    return [command(number, given) for number, given in enumerate(jobs)]


def _context_of(context: CommandContext, number: int, command_id: UUID) -> CommandContext:
    """The context of one job of many: a command id of its own, and source `import`.

    An idempotency key counts for each position in the body, so that a repeated import answers for
    the imported jobs as before and decides the rest.
    """
    key = context.idempotency
    if key is not None:
        stream = request_stream(str(key.stream), SOURCE, str(number), key.key)
        key = Idempotency(key.key, stream, key.fingerprint)
    return replace(
        context, command_id=str(command_id), source=SOURCE, revision=None, idempotency=key
    )

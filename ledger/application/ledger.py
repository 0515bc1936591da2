"""The ledger in a process: opened on a folder, asked by commands, answered from the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands import imports
from ledger.application.commands import jobs as commands
from ledger.application.commands.jobs import CommandContext, CommandResult, Idempotency
from ledger.application.job_cache import JobCache
from ledger.application.jobs_application import Jobs
from ledger.application.recoveries.service import Recoveries
from ledger.application.snapshots import dump_job, load_job
from ledger.application.unit_of_work import UnitOfWork
from ledger.application.writer import Writer
from ledger.chance import Chance
from ledger.clock import Clock, rfc3339
from ledger.domain.job.job import Job, ResumeOptions, job_id_of
from ledger.domain.job.spec import parse_spec
from ledger.domain.metadata import Actor, EventMetadata
from ledger.domain.schedule.recurrence import planner
from ledger.errors import LedgerError, StorageFull, Unavailable
from ledger.store.dependencies import Limits
from ledger.store.event_queries import EventQueries
from ledger.store.event_reader import EventReader
from ledger.store.open import Opened, open_owned, open_read_only, open_shared, place_of
from ledger.store.postgres.dsn import PostgresDsn

if TYPE_CHECKING:
    from ledger.store.postgres.listener import ChangeListener

T = TypeVar("T")

LIBRARY = Actor("library", "user")


class Ledger:
    """An event-sourced job ledger. Commands return an Answer or raise a LedgerError; both only once
    it is durable.

    `Ledger.open("./data")` owns the folder until it is closed; use it as a context manager. Nothing
    fires until a dispatcher is started (`ledger.dispatch.Dispatcher`).
    """

    def __init__(self, opened: Opened, *, is_read_only: bool = False) -> None:
        self.place = opened.place
        self.event_store = opened.event_store
        self.clock = opened.around.clock
        self.chance = opened.around.chance
        self.limits = opened.around.limits
        self.lock = opened.lock
        self.is_read_only = is_read_only
        self._opened = opened
        self._follower: ChangeListener | None = None
        self.jobs_application = Jobs(self.event_store, self.chance)
        self.mapper = self.jobs_application.event_mapper
        self.job_cache = JobCache()
        self.events = EventReader(self.event_store, self.mapper)
        self.queries = EventQueries(self.events)
        self.writer = Writer(self.event_store, self.mapper, self.job_cache, self.clock)
        self.recoveries = Recoveries(self)

    @classmethod
    def open(
        cls,
        data: str | Path | PostgresDsn = "./data",
        *,
        clock: Clock | None = None,
        chance: Chance | None = None,
        limits: Limits | None = None,
    ) -> Self:
        """Own the ledger in a folder, or become a node of the one at `postgresql://…`, and start
        its writer. Raises StartRefused, in one line, when that cannot be.

        On PostgreSQL all nodes go by the database's clock, unless a clock is given.
        """
        place, allowed = place_of(data), limits or Limits()
        if isinstance(place, PostgresDsn):
            opened = open_shared(place, clock, chance, allowed)
        else:
            opened = open_owned(place, clock, chance, allowed)
        with ExitStack() as failing:
            failing.callback(opened.close)
            ledger = cls(opened)
            ledger.job_cache.load(ledger.event_store, ledger.mapper)
            ledger.writer.position = ledger.job_cache.position
            failing.pop_all()
        ledger.writer.start()
        if opened.follow is not None:
            ledger._follower = opened.follow(lambda: ledger.writer.submit(()))
            ledger._follower.start()
        return ledger

    @classmethod
    def open_read_only(
        cls, data: str | Path | PostgresDsn = "./data", *, clock: Clock | None = None
    ) -> Self:
        """Read a ledger that other processes own. Commands are refused as Unavailable."""
        return cls(open_read_only(place_of(data), clock), is_read_only=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def skew(self) -> timedelta | None:
        """How far this machine's clock is ahead of the one that all nodes go by; None where there
        is no other.
        """
        return self._follower.skew if self._follower is not None else None

    def close(self) -> None:
        """Answer what waits, save the heads, give the folder back."""
        if self._follower is not None:
            self._follower.close()
        if not self.is_read_only:
            self.writer.close()
        self._opened.close()

    # -- commands -------------------------------------------------------------------------------

    def schedule(
        self,
        spec: Mapping[str, Any] | None = None,
        /,
        *,
        call: CommandContext | None = None,
        **fields: Any,
    ) -> CommandResult:
        """Begin a job. `fields` (or `spec`): name, schedule, task, executor, delivery, policy,
        tags, enabled, …

        Refuses NameTaken, ScheduleInvalid, ScheduleNeverFires, ScheduleInPast, InvalidField,
        UnknownField, JobLimit.
        """
        return self.execute(
            self.schedule_command({**(spec or {}), **fields}, call or self.context())
        )

    def amend(
        self, job_id: UUID | str, patch: Mapping[str, Any], *, call: CommandContext | None = None
    ) -> CommandResult:
        """Change fields by an RFC 7396 merge patch; the status never changes."""
        return self.execute(commands.amend(_id(job_id), patch, call or self.context()))

    def pause(
        self,
        job_id: UUID | str,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        call: CommandContext | None = None,
    ) -> CommandResult:
        """Stop a job from firing, until `until` or until it is resumed."""
        return self.execute(commands.pause(_id(job_id), until, call or self.context(reason)))

    def resume(
        self,
        job_id: UUID | str,
        *,
        force: bool = False,
        reason: str | None = None,
        run_at: datetime | None = None,
        run_now: bool = False,
        call: CommandContext | None = None,
    ) -> CommandResult:
        """Bring a job back. A failed one needs `force`: the operator's word that the cause is gone.

        Refuses ForceRequired, JobCompleted, JobDisabled, ScheduleExhausted, JobNotFound.
        """
        revival = ResumeOptions(force=force, run_at=run_at, run_now=run_now)
        return self.execute(self.resume_command(_id(job_id), revival, call or self.context(reason)))

    def run(
        self, job_id: UUID | str, *, reason: str | None = None, call: CommandContext | None = None
    ) -> CommandResult:
        """Ask for one run now. Refuses JobPaused, JobFailed, JobDisabled, RunInProgress."""
        return self.execute(commands.request_run(_id(job_id), call or self.context(reason)))

    def delete(
        self, job_id: UUID | str, *, reason: str | None = None, call: CommandContext | None = None
    ) -> CommandResult:
        """End a job; its history stays."""
        return self.execute(commands.delete(_id(job_id), call or self.context(reason)))

    def take_over(
        self,
        origin: str,
        jobs: Sequence[object],
        *,
        dry_run: bool = False,
        call: CommandContext | None = None,
    ) -> list[CommandResult | LedgerError]:
        """Take over jobs of another scheduler: for each its Answer, or the refusal, in their order.

        A job is `{"spec", "origin_id", "status"?, "consecutive_errors"?, "last_error"?,
        "last_run_at"?, "run_count"?, "imported"?}`. With `dry_run` nothing is recorded.
        """
        arriving, some = self.take_over_commands(
            origin, jobs, call or self.context(), dry_run=dry_run
        )
        results = self.submit(some).result() if some else []
        return self.taken_over(arriving, results)

    # -- commands as objects, for callers that wait in their own way -----------------------------

    def schedule_command(
        self, spec: Mapping[str, Any], call: CommandContext
    ) -> Command[CommandResult]:
        """The command that begins a job. Parses and looks ahead here, before the queue, where
        slowness hurts nobody.
        """
        job_id = self.chance.new_id()
        parsed = parse_spec(spec, planner=planner(), anchor_at=rfc3339(call.now))
        commands.prefetch_fires(parsed["schedule"], parsed["enabled"], now=call.now)
        return commands.schedule(job_id, parsed, call, max_jobs=self.limits.max_jobs)

    def take_over_commands(
        self, origin: str, jobs: Sequence[object], call: CommandContext, *, dry_run: bool
    ) -> tuple[list[imports.Arriving], list[Command[CommandResult]]]:
        """The jobs that arrive, or their refusals, and a command for each that was not refused."""
        limit = self.limits.max_jobs
        return imports.prepare(
            origin, jobs, call, new_id=self.chance.new_id, max_jobs=limit, dry_run=dry_run
        )

    def taken_over(
        self, arriving: Sequence[imports.Arriving], results: Sequence[Any]
    ) -> list[CommandResult | LedgerError]:
        """What became of each job that arrived, `results` being the writer's."""
        found = imports.merged(arriving, results)
        return [one if isinstance(one, LedgerError) else self.result_of(one) for one in found]

    def resume_command(
        self, job_id: UUID, revival: ResumeOptions, call: CommandContext
    ) -> Command[CommandResult]:
        """The command that brings a job back; the slots it missed are counted here, before the
        queue.
        """
        job = self.job_cache.jobs.get(job_id)
        if job is not None:
            job.missed_slots(call.now, job.status)
        return commands.resume(job_id, revival, call, requires_reason=self.limits.requires_reason)

    def context(
        self, reason: str | None = None, *, actor: Actor = LIBRARY, source: str = "library"
    ) -> CommandContext:
        """The circumstances of a command that is given now."""
        command_id = str(self.chance.new_id())
        return CommandContext(
            self.clock.now(), EventMetadata(command_id, actor, source, None, reason)
        )

    def execute(self, command: Command[T]) -> T:
        """Have one command decided and kept, and wait for it."""
        return self.result_of(self.submit([command]).result()[0])  # type: ignore[no-any-return]

    def submit(self, some: Sequence[Command[Any]]) -> Future[list[Any]]:
        """Hand commands to the writer; each result is an answer or the LedgerError it met (see
        `answer`).
        """
        if self.is_read_only:
            raise Unavailable(
                "Another process owns this ledger: only reading is possible from here."
            )
        return self.writer.submit(some)

    def result_of(self, result: Any) -> Any:
        """A result of `submit` as a caller wants it: raised if it is an error, rendered if it
        repeats an old answer.
        """
        if isinstance(result, BaseException):
            raise result
        if isinstance(result, CommandResult) and result.repeats:
            result.job = self.queries.job_at(result.job_id, result.version)
        return result

    # -- questions ------------------------------------------------------------------------------

    def job(self, job_id: UUID | str) -> dict[str, Any]:
        """One job as it is now. JobNotFound when it is unknown or deleted."""
        if self.is_read_only:
            return self.queries.job(_id(job_id))
        return self.execute(commands.look_at(_id(job_id)))

    def history(self, job_id: UUID | str) -> list[dict[str, Any]]:
        """Every event of a job, oldest first, deleted or not."""
        return self.queries.history(_id(job_id))

    def live_job(self, job_id: UUID) -> Job | None:
        """A copy of a job as the writer has it; None where that is not to be had: for a reader, for
        an unknown job, while nothing can be decided.
        """
        if self.is_read_only or job_id not in self.job_cache.jobs:
            return None

        def snapshot(unit: UnitOfWork) -> tuple[int, bytes]:
            job = unit.job(job_id)
            return job.version, dump_job(job)

        try:
            version, state = self.execute(snapshot)
        except (Unavailable, StorageFull):
            return None
        return load_job(job_id, version, state)

    def live_jobs(self) -> Sequence[Job]:
        """Every job that is not gone; a reader loads them anew."""
        if not self.is_read_only:
            return self.job_cache.snapshot()
        job_cache = JobCache()
        job_cache.load(self.event_store, self.mapper)
        return job_cache.snapshot()

    def fold(self, job_id: UUID, *, upto: int | None = None) -> Job:
        """A job folded from the book alone, up to a version: what every copy must equal."""
        return self.events.fold(Job.blank(job_id), upto=upto)


def _id(job_id: UUID | str) -> UUID:
    return job_id if isinstance(job_id, UUID) else job_id_of(job_id)


__all__ = ["CommandResult", "CommandContext", "Idempotency", "Ledger", "Limits"]

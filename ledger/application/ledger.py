"""The ledger in a process: opened on a folder or a database, given commands, queried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from ledger.application.command_context import CommandContext, Idempotency
from ledger.application.commands.command import Command, CommandResult
from ledger.application.commands.imports import import_commands
from ledger.application.commands.jobs import (
    AmendJob,
    DeleteJob,
    DumpJob,
    PauseJob,
    ReadJob,
    RequestRun,
    ResumeJob,
    ScheduleJob,
)
from ledger.application.commands.recoveries import PreviewRecovery, RecoveryResult, StartRecovery
from ledger.application.idempotency import answer_again
from ledger.application.job_cache import JobCache
from ledger.application.recoveries.queries import RecoveryQueries
from ledger.application.recoveries.views import forecast_view
from ledger.application.snapshots import load_job
from ledger.application.unit_of_work import AlreadyAnswered, Limits
from ledger.application.writer import Writer
from ledger.chance import Chance
from ledger.clock import Clock
from ledger.domain.event_context import Actor
from ledger.domain.job.job import Job, ResumeOptions, job_id_of
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.selection import Selection
from ledger.errors import LedgerError, Refused, StorageFull, Unavailable
from ledger.store.audit_query import DISPATCHER
from ledger.store.codec import Codec, PlainJSON
from ledger.store.event_queries import EventQueries
from ledger.store.event_reader import EventReader
from ledger.store.instrumentation import Instrumentation, NoInstrumentation
from ledger.store.mapper import EventMapper
from ledger.store.open import OpenStore, location_of, open_owned, open_read_only, open_shared
from ledger.store.postgres.dsn import PostgresDsn

if TYPE_CHECKING:
    from ledger.store.postgres.listener import ChangeListener

T = TypeVar("T")

LIBRARY = Actor("library", "user")
SYSTEM = Actor(DISPATCHER, "system")


class Ledger:
    """An event-sourced job ledger. A command is answered, or raises a LedgerError, once that is
    durable. Commands go through `execute`, queries through `queries`.

    `Ledger.open("./data")` owns the folder until it is closed; use it as a context manager. Nothing
    fires until a dispatcher is started (`ledger.dispatch.dispatcher.Dispatcher`).
    """

    def __init__(
        self,
        opened: OpenStore,
        limits: Limits | None = None,
        *,
        is_read_only: bool = False,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        self.location = opened.location
        self.event_store = opened.event_store
        self.clock = opened.clock
        self.chance = opened.chance
        self.limits = limits or Limits()
        self.instrumentation = instrumentation or NoInstrumentation()
        self.lock = opened.lock
        self.is_read_only = is_read_only
        self._opened = opened
        self._listener: ChangeListener | None = None
        codec = Codec(opened.chance.random_bytes, PlainJSON())
        self.mapper = EventMapper(codec, self.event_store.texts)
        self.job_cache = JobCache()
        self.events = EventReader(self.event_store, self.mapper)
        self.queries = EventQueries(self.events)
        self.writer = Writer(
            self.event_store,
            self.mapper,
            self.job_cache,
            self.clock,
            self.limits,
            self.instrumentation,
        )
        self.recoveries = RecoveryQueries(self.events)

    @classmethod
    def open(
        cls,
        data: str | Path | PostgresDsn = "./data",
        *,
        clock: Clock | None = None,
        chance: Chance | None = None,
        limits: Limits | None = None,
        instrumentation: Instrumentation | None = None,
    ) -> Self:
        """Own the ledger in a folder, or become a node of the one at `postgresql://…`, and start
        its writer. Raises StartRefused, in one line, when that fails.

        On PostgreSQL all nodes use the database's clock, unless a clock is given.
        """
        location = location_of(data)
        if isinstance(location, PostgresDsn):
            opened = open_shared(location, clock, chance, instrumentation)
        else:
            opened = open_owned(location, clock, chance)
        with ExitStack() as failing:
            failing.callback(opened.close)
            ledger = cls(opened, limits, instrumentation=instrumentation)
            ledger.job_cache.load(ledger.event_store, ledger.mapper)
            ledger.writer.position = ledger.job_cache.position
            failing.pop_all()
        ledger.writer.start()
        if opened.listen is not None:
            ledger._listener = opened.listen(lambda: ledger.writer.submit(()))
            ledger._listener.start()
        return ledger

    @classmethod
    def open_read_only(
        cls, data: str | Path | PostgresDsn = "./data", *, clock: Clock | None = None
    ) -> Self:
        """Read a ledger that other processes own. Commands are refused as Unavailable."""
        return cls(open_read_only(location_of(data), clock), is_read_only=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def skew(self) -> timedelta | None:
        """How far this machine's clock is ahead of the one that all nodes use; None where there is
        no other.
        """
        return self._listener.skew if self._listener is not None else None

    def close(self) -> None:
        """Answer the commands that wait, save the snapshots, release the folder."""
        if self._listener is not None:
            self._listener.close()
        if not self.is_read_only:
            self.writer.close()
        self._opened.close()

    # -- commands -------------------------------------------------------------------------------

    def execute(self, command: Command[T]) -> T:
        """Have a command decided and appended, and wait for its answer. A repeated idempotency key
        gets the first answer again.
        """
        while True:
            begun = self.begin(command)
            if not isinstance(begun, Future):
                return begun
            [result] = begun.result()
            if not isinstance(result, AlreadyAnswered):
                return value_of(result)  # type: ignore[no-any-return]

    def execute_each(self, commands: Sequence[Command[T] | LedgerError]) -> list[T | LedgerError]:
        """The answer of each command, or its refusal; all are decided in one batch. A command that
        was refused beforehand is given as that refusal. Errors that are not refusals (a full disk,
        a fault) are raised, though earlier commands may have been appended.
        """
        begun = [self._begun(command) for command in commands]
        waiting = [one for one in begun if isinstance(one, Command)]
        results = iter(self.writer.submit(waiting).result() if waiting else ())
        found = [next(results) if isinstance(one, Command) else one for one in begun]
        for at, (command, result) in enumerate(zip(commands, found, strict=True)):
            if isinstance(result, AlreadyAnswered) and isinstance(command, Command):
                found[at] = self._executed(command)
            elif isinstance(result, BaseException) and not isinstance(result, Refused):
                raise result
        return found

    def _executed(self, command: Command[T]) -> T | Refused:
        try:
            return self.execute(command)
        except Refused as refusal:
            return refusal

    def _begun(self, command: Command[T] | LedgerError) -> Any:
        """The first answer, the refusal, or the command itself when it is to be decided."""
        if isinstance(command, LedgerError):
            return command
        try:
            answer = answer_again(command, self.queries)
            if answer is None:
                self._require_writable()
                command.prepare(self.job_cache)
        except LedgerError as refusal:
            return refusal
        return command if answer is None else answer

    def begin(self, command: Command[T]) -> T | Future[list[Any]]:
        """The first answer of a repeated idempotency key, or the future of `submit`.

        The key is looked up before the command is prepared: a schedule that was valid at the first
        answer may be in the past by now.
        """
        answer = answer_again(command, self.queries)
        return answer if answer is not None else self.submit([command])

    def submit(self, commands: Sequence[Command[Any]]) -> Future[list[Any]]:
        """Prepare commands and hand them to the writer. The future gives for each its answer or the
        error it raised (see `value_of`).
        """
        self._require_writable()
        for command in commands:
            command.prepare(self.job_cache)
        return self.writer.submit(commands)

    def _require_writable(self) -> None:
        if self.is_read_only:
            raise Unavailable("Another process owns this ledger: this one can only read it.")

    def context(
        self,
        reason: str | None = None,
        *,
        actor: Actor = LIBRARY,
        source: str = "library",
        correlation_id: str | None = None,
        now: datetime | None = None,
    ) -> CommandContext:
        """The context of a command, given now unless another instant is named."""
        command_id = str(self.chance.new_id())
        now = now or self.clock.now()
        return CommandContext(now, command_id, actor, source, correlation_id, reason)

    def dispatcher_context(
        self, *, correlation_id: str | None = None, now: datetime | None = None
    ) -> CommandContext:
        """The context of what the ledger does by itself: runs, deliveries, steps of recoveries."""
        return self.context(actor=SYSTEM, source=DISPATCHER, correlation_id=correlation_id, now=now)

    # Each of these makes one command and executes it, in the context of this library's caller.

    def schedule(
        self,
        spec: Mapping[str, Any] | None = None,
        /,
        *,
        context: CommandContext | None = None,
        **fields: Any,
    ) -> CommandResult:
        """See `ScheduleJob`. `fields` (or `spec`): name, schedule, task, executor, delivery,
        policy, tags, enabled, …
        """
        context = context or self.context()
        job_id, given = self.chance.new_id(), {**(spec or {}), **fields}
        return self.execute(ScheduleJob(job_id, given, context))

    def amend(
        self,
        job_id: UUID | str,
        patch: Mapping[str, Any],
        *,
        context: CommandContext | None = None,
    ) -> CommandResult:
        """See `AmendJob`."""
        return self.execute(AmendJob(_id(job_id), patch, context or self.context()))

    def pause(
        self,
        job_id: UUID | str,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        context: CommandContext | None = None,
    ) -> CommandResult:
        """See `PauseJob`."""
        return self.execute(PauseJob(_id(job_id), until, context or self.context(reason)))

    def resume(
        self,
        job_id: UUID | str,
        *,
        force: bool = False,
        reason: str | None = None,
        run_at: datetime | None = None,
        run_now: bool = False,
        context: CommandContext | None = None,
    ) -> CommandResult:
        """See `ResumeJob`."""
        options = ResumeOptions(force=force, run_at=run_at, run_now=run_now)
        return self.execute(ResumeJob(_id(job_id), options, context or self.context(reason)))

    def run(
        self,
        job_id: UUID | str,
        *,
        reason: str | None = None,
        context: CommandContext | None = None,
    ) -> CommandResult:
        """See `RequestRun`."""
        return self.execute(RequestRun(_id(job_id), context or self.context(reason)))

    def delete(
        self,
        job_id: UUID | str,
        *,
        reason: str | None = None,
        context: CommandContext | None = None,
    ) -> CommandResult:
        """See `DeleteJob`."""
        return self.execute(DeleteJob(_id(job_id), context or self.context(reason)))

    def import_jobs(
        self,
        origin: str,
        jobs: Sequence[object],
        *,
        dry_run: bool = False,
        context: CommandContext | None = None,
    ) -> list[CommandResult | LedgerError]:
        """Import jobs of another scheduler: for each its answer or its refusal, in their order.

        A job is `{"spec", "origin_id", "status"?, "consecutive_errors"?, "last_error"?,
        "last_run_at"?, "run_count"?, "imported"?}`. With `dry_run` nothing is recorded.
        """
        context = context or self.context()
        new_id = self.chance.new_id
        return self.execute_each(
            import_commands(origin, jobs, context, new_id=new_id, dry_run=dry_run)
        )

    def start_recovery(
        self, selection: Selection, terms: Terms | None = None, *, reason: str | None = None
    ) -> dict[str, Any]:
        """See `StartRecovery`; answers the recovery as JSON."""
        command = StartRecovery(selection, terms or Terms(), self.context(reason))
        return self._recovery(self.execute(command))

    def preview_recovery(self, selection: Selection, terms: Terms | None = None) -> dict[str, Any]:
        """See `PreviewRecovery`; answers the plan as JSON."""
        context = self.context()
        forecast = self.execute(PreviewRecovery(selection, terms or Terms(), context))
        return forecast_view(forecast, context.now)

    def abort_recovery(self, recovery_id: str, *, reason: str | None = None) -> dict[str, Any]:
        """See `AbortRecovery`; answers the recovery as JSON."""
        command = self.recoveries.abort_command(recovery_id, self.context(reason))
        return self._recovery(self.execute(command))

    def _recovery(self, result: RecoveryResult) -> dict[str, Any]:
        return self.recoveries.as_answered(result)

    # -- questions ------------------------------------------------------------------------------

    def job(self, job_id: UUID | str) -> dict[str, Any]:
        """One job as it is now. JobNotFound when it is unknown or deleted."""
        if self.is_read_only:
            return self.queries.job(_id(job_id))
        return self.execute(ReadJob(_id(job_id)))

    def history(self, job_id: UUID | str) -> list[dict[str, Any]]:
        """Every event of a job, oldest first, deleted or not."""
        return self.queries.history(_id(job_id))

    def live_job(self, job_id: UUID) -> Job | None:
        """A copy of a job in the writer's state; None when the ledger is only read, the job is not
        known, or no command can be decided now.
        """
        if self.is_read_only or job_id not in self.job_cache.jobs:
            return None
        try:
            version, state = self.execute(DumpJob(job_id))
        except (Unavailable, StorageFull):
            return None
        return load_job(job_id, version, state)

    def live_jobs(self) -> Sequence[Job]:
        """Every job that is not deleted; read again when the ledger is only read."""
        if not self.is_read_only:
            return self.job_cache.snapshot()
        job_cache = JobCache()
        job_cache.load(self.event_store, self.mapper)
        return job_cache.snapshot()

    def fold(self, job_id: UUID, *, upto: int | None = None) -> Job:
        """A job folded from the events alone, up to a version: the reference for every read
        model.
        """
        return self.events.fold(Job.blank(job_id), upto=upto)


def value_of(result: Any) -> Any:
    """A result of `submit`: raised if it is an error."""
    if isinstance(result, BaseException):
        raise result
    return result


def _id(job_id: UUID | str) -> UUID:
    return job_id if isinstance(job_id, UUID) else job_id_of(job_id)


__all__ = ["CommandContext", "CommandResult", "Idempotency", "Ledger", "Limits"]

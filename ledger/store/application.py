"""The ledger in a process: opened on a folder, asked by commands, answered from the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import ApplicationRecorder, Mapper
from eventsourcing.utils import Environment, EnvType

from ledger.chance import Chance, SystemChance
from ledger.clock import Clock, SystemClock, rfc3339
from ledger.domain.job import Job, Revival, job_id_of
from ledger.domain.origin import Actor, Origin
from ledger.domain.recurrence import planner
from ledger.domain.spec import parse_spec
from ledger.errors import LedgerError, Unavailable
from ledger.store import commands, imports
from ledger.store.address import SCHEMES, Address
from ledger.store.book import Book
from ledger.store.codec import Codec, PlainJSON
from ledger.store.commands import Answer, Call, Idempotency
from ledger.store.deciding import Command
from ledger.store.files import Folder, OwnerLock
from ledger.store.heads import Heads
from ledger.store.mapper import EventMapper
from ledger.store.reading import Reading
from ledger.store.recorder import BookRecorder
from ledger.store.sqlite import SQLiteBook
from ledger.store.unit import fold_stream
from ledger.store.writer import Writer

if TYPE_CHECKING:
    from ledger.store.following import Follower

T = TypeVar("T")

LIBRARY = Actor("library", "user")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an installation allows: how many jobs, and whether forcing needs a reason."""

    max_jobs: int | None = None
    requires_reason: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a ledger takes from outside: time, chance, and what the installation allows."""

    clock: Clock
    chance: Chance
    limits: Limits


class Jobs(Application[UUID]):
    """The library's application over our book: mapper and recorder are ours, and the environment is
    not consulted.
    """

    name = "jobledger"

    def __init__(self, book: Book, chance: Chance) -> None:
        self.book = book
        self.event_mapper = EventMapper(Codec(chance.random_bytes, PlainJSON()), book.texts)
        super().__init__()

    def construct_env(
        self,
        name: str,
        env: EnvType | None = None,  # noqa: ARG002  the library's
    ) -> Environment:
        """The environment configures nothing: settings are read once, elsewhere."""
        return Environment(name, {"PERSISTENCE_MODULE": "eventsourcing.popo"})

    def construct_mapper(self) -> Mapper[UUID]:
        return self.event_mapper

    def construct_recorder(self) -> ApplicationRecorder:
        return BookRecorder(self.book)


class Ledger:
    """An event-sourced job ledger. Commands return an Answer or raise a LedgerError; both only once
    it is durable.

    `Ledger.open("./data")` owns the folder until it is closed; use it as a context manager. Nothing
    fires until a dispatcher is started (`ledger.dispatch.Dispatcher`).
    """

    def __init__(
        self,
        book: Book,
        surroundings: Surroundings,
        lock: OwnerLock | None,
        *,
        is_read_only: bool = False,
    ) -> None:
        self.book = book
        self.clock = surroundings.clock
        self.chance = surroundings.chance
        self.limits = surroundings.limits
        self.lock = lock
        self.is_read_only = is_read_only
        self._follower: Follower | None = None
        self.jobs_application = Jobs(book, self.chance)
        self.mapper = self.jobs_application.event_mapper
        self.heads = Heads()
        self.reading = Reading(book, self.mapper)
        self.writer = Writer(book, self.mapper, self.heads, self.clock)

    @classmethod
    def open(
        cls,
        data: str | Path | Address = "./data",
        *,
        clock: Clock | None = None,
        chance: Chance | None = None,
        limits: Limits | None = None,
    ) -> Self:
        """Own the ledger in a folder, or become a node of the one at `postgresql://…`, and start
        its writer. Raises StartRefused, in one line, when that cannot be.
        """
        if isinstance(data, str) and data.startswith(SCHEMES):
            data = Address(data)
        if isinstance(data, Address):
            return cls._join(data, clock, chance or SystemChance(), limits or Limits())
        around = Surroundings(clock or SystemClock(), chance or SystemChance(), limits or Limits())
        folder = Folder(Path(data))
        folder.create()
        with ExitStack() as opened:
            lock = OwnerLock(folder)
            lock.take()
            opened.callback(lock.release)
            book = SQLiteBook(folder, new_id=around.chance.new_id())
            opened.callback(book.close)
            ledger = cls(book, around, lock)
            ledger.heads.load(book, ledger.mapper)
            opened.pop_all()
        ledger.writer.start()
        return ledger

    @classmethod
    def _join(cls, address: Address, clock: Clock | None, chance: Chance, limits: Limits) -> Self:
        """Be one of several nodes: no lock, but an ear for what the others append. Without a clock
        of the caller's, all nodes go by the database's.
        """
        # the driver is slow to import, and who stays on SQLite needs none
        from ledger.store.database_clock import DatabaseClock
        from ledger.store.following import Follower
        from ledger.store.postgres import CALLERS_CLOCK, DATABASE_CLOCK, PostgresBook

        with ExitStack() as opened:
            book = PostgresBook(address, clock=CALLERS_CLOCK if clock else DATABASE_CLOCK)
            opened.callback(book.close)
            with book.server.first_connection() as connection:
                shared = DatabaseClock(SystemClock(), connection)
            around = Surroundings(clock or shared, chance, limits)
            ledger = cls(book, around, None)
            ledger.heads.load(book, ledger.mapper)
            ledger.writer.position = ledger.heads.position
            opened.pop_all()
        ledger.writer.start()
        ledger._follower = Follower(book.server, lambda: ledger.writer.submit(()), shared)
        ledger._follower.start()
        return ledger

    @classmethod
    def open_read_only(
        cls, data: str | Path | Address = "./data", *, clock: Clock | None = None
    ) -> Self:
        """Read a ledger that other processes own. Commands are refused as Unavailable."""
        around = Surroundings(clock or SystemClock(), SystemChance(), Limits())
        if isinstance(data, Address):
            from ledger.store.postgres import PostgresBook

            return cls(PostgresBook(data), around, None, is_read_only=True)
        return cls(SQLiteBook(Folder(Path(data)), new_id=None), around, None, is_read_only=True)

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
        self.book.close()
        if self.lock is not None:
            self.lock.release()

    # -- commands -------------------------------------------------------------------------------

    def schedule(
        self, spec: Mapping[str, Any] | None = None, /, *, call: Call | None = None, **fields: Any
    ) -> Answer:
        """Begin a job. `fields` (or `spec`): name, schedule, task, executor, delivery, policy,
        tags, enabled, …

        Refuses NameTaken, ScheduleInvalid, ScheduleNeverFires, ScheduleInPast, InvalidField,
        UnknownField, JobLimit.
        """
        return self.ask(self.schedule_command({**(spec or {}), **fields}, call or self.call()))

    def amend(
        self, job_id: UUID | str, patch: Mapping[str, Any], *, call: Call | None = None
    ) -> Answer:
        """Change fields by an RFC 7396 merge patch; the status never changes."""
        return self.ask(commands.amend(_id(job_id), patch, call or self.call()))

    def pause(
        self,
        job_id: UUID | str,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        call: Call | None = None,
    ) -> Answer:
        """Stop a job from firing, until `until` or until it is resumed."""
        return self.ask(commands.pause(_id(job_id), until, call or self.call(reason)))

    def resume(
        self,
        job_id: UUID | str,
        *,
        force: bool = False,
        reason: str | None = None,
        run_at: datetime | None = None,
        run_now: bool = False,
        call: Call | None = None,
    ) -> Answer:
        """Bring a job back. A failed one needs `force`: the operator's word that the cause is gone.

        Refuses ForceRequired, JobCompleted, JobDisabled, ScheduleExhausted, JobNotFound.
        """
        revival = Revival(force=force, run_at=run_at, run_now=run_now)
        return self.ask(self.resume_command(_id(job_id), revival, call or self.call(reason)))

    def run(
        self, job_id: UUID | str, *, reason: str | None = None, call: Call | None = None
    ) -> Answer:
        """Ask for one run now. Refuses JobPaused, JobFailed, JobDisabled, RunInProgress."""
        return self.ask(commands.request_run(_id(job_id), call or self.call(reason)))

    def delete(
        self, job_id: UUID | str, *, reason: str | None = None, call: Call | None = None
    ) -> Answer:
        """End a job; its history stays."""
        return self.ask(commands.delete(_id(job_id), call or self.call(reason)))

    def take_over(
        self,
        origin: str,
        jobs: Sequence[object],
        *,
        dry_run: bool = False,
        call: Call | None = None,
    ) -> list[Answer | LedgerError]:
        """Take over jobs of another scheduler: for each its Answer, or the refusal, in their order.

        A job is `{"spec", "origin_id", "status"?, "consecutive_errors"?, "last_error"?,
        "last_run_at"?, "run_count"?, "imported"?}`. With `dry_run` nothing is recorded.
        """
        arriving, some = self.take_over_commands(origin, jobs, call or self.call(), dry_run=dry_run)
        results = self.submit(some).result() if some else []
        return self.taken_over(arriving, results)

    # -- commands as objects, for callers that wait in their own way -----------------------------

    def schedule_command(self, spec: Mapping[str, Any], call: Call) -> Command[Answer]:
        """The command that begins a job. Parses and looks ahead here, before the queue, where
        slowness hurts nobody.
        """
        job_id = self.chance.new_id()
        parsed = parse_spec(spec, planner=planner(), anchor_at=rfc3339(call.now))
        commands.look_ahead(parsed["schedule"], parsed["enabled"], now=call.now)
        return commands.schedule(job_id, parsed, call, max_jobs=self.limits.max_jobs)

    def take_over_commands(
        self, origin: str, jobs: Sequence[object], call: Call, *, dry_run: bool
    ) -> tuple[list[imports.Arriving], list[Command[Answer]]]:
        """The jobs that arrive, or their refusals, and a command for each that was not refused."""
        limit = self.limits.max_jobs
        return imports.prepare(
            origin, jobs, call, new_id=self.chance.new_id, max_jobs=limit, dry_run=dry_run
        )

    def taken_over(
        self, arriving: Sequence[imports.Arriving], results: Sequence[Any]
    ) -> list[Answer | LedgerError]:
        """What became of each job that arrived, `results` being the writer's."""
        found = imports.merged(arriving, results)
        return [one if isinstance(one, LedgerError) else self.answer(one) for one in found]

    def resume_command(self, job_id: UUID, revival: Revival, call: Call) -> Command[Answer]:
        """The command that brings a job back; the slots it missed are counted here, before the
        queue.
        """
        job = self.heads.jobs.get(job_id)
        if job is not None:
            job.owed(call.now, job.status)
        return commands.resume(job_id, revival, call, requires_reason=self.limits.requires_reason)

    def call(
        self, reason: str | None = None, *, actor: Actor = LIBRARY, source: str = "library"
    ) -> Call:
        """The circumstances of a command that is given now."""
        command_id = str(self.chance.new_id())
        return Call(self.clock.now(), Origin(command_id, actor, source, None, reason))

    def ask(self, command: Command[T]) -> T:
        """Have one command decided and kept, and wait for it."""
        return self.answer(self.submit([command]).result()[0])  # type: ignore[no-any-return]

    def submit(self, some: Sequence[Command[Any]]) -> Future[list[Any]]:
        """Hand commands to the writer; each result is an answer or the LedgerError it met (see
        `answer`).
        """
        if self.is_read_only:
            raise Unavailable(
                "Another process owns this ledger: only reading is possible from here."
            )
        return self.writer.submit(some)

    def answer(self, result: Any) -> Any:
        """A result of `submit` as a caller wants it: raised if it is an error, rendered if it
        repeats an old answer.
        """
        if isinstance(result, BaseException):
            raise result
        if isinstance(result, Answer) and result.repeats:
            result.job = self.reading.job_at(result.job_id, result.version)
        return result

    # -- questions ------------------------------------------------------------------------------

    def job(self, job_id: UUID | str) -> dict[str, Any]:
        """One job as it is now. JobNotFound when it is unknown or deleted."""
        if self.is_read_only:
            return self.reading.job(_id(job_id))
        return self.ask(commands.look_at(_id(job_id)))

    def history(self, job_id: UUID | str) -> list[dict[str, Any]]:
        """Every event of a job, oldest first, deleted or not."""
        return self.reading.history(_id(job_id))

    def fold(self, job_id: UUID, *, upto: int | None = None) -> Job:
        """A job folded from the book alone, up to a version: what every copy must equal."""
        return fold_stream(self.book, self.mapper, Job.blank(job_id), upto=upto)


def _id(job_id: UUID | str) -> UUID:
    return job_id if isinstance(job_id, UUID) else job_id_of(job_id)


__all__ = ["Answer", "Call", "Idempotency", "Ledger", "Limits"]

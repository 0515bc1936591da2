"""What a command is: data with one method that decides, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.job_cache import JobCache
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.job.job import Job
from ledger.domain.job.view import view
from ledger.errors import StaleRevision
from ledger.store.event_queries import EventQueries

T_co = TypeVar("T_co", covariant=True)


class Command(ABC, Generic[T_co]):
    """A request to the ledger. Subclasses are frozen dataclasses of their arguments."""

    def prepare(self, cache: JobCache) -> None:
        """Do slow work (parsing, next fires) in the caller's thread; the decision reuses it."""

    def begins_at_once(self) -> bool:
        """Whether `Ledger.begin` has nothing to prepare and no key to look up, so that an event
        loop may call it.
        """
        return type(self).prepare is Command.prepare

    @abstractmethod
    def execute(self, unit: UnitOfWork) -> T_co:
        """Load, decide, answer. What was recorded is collected from the unit afterwards."""


@dataclass(slots=True)
class PositionedResult:
    """A result with the ledger's last position at the commit; the writer fills it in."""

    position: int


@dataclass(slots=True)
class CommandResult(PositionedResult):
    """The job right after the command, whether anything changed, and the ledger's last position."""

    job_id: UUID
    job: dict[str, Any]
    changed: bool
    version: int


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """The answer of an idempotency key: the version of a stream, and the position of the last event
    of that append.
    """

    stream: UUID
    version: int
    position: int


class RepeatableCommand(Command[T_co]):
    """A command that is answered once under the idempotency key of its context."""

    context: CommandContext

    def begins_at_once(self) -> bool:
        return super().begins_at_once() and self.context.idempotency is None

    @abstractmethod
    def answer_again(self, first: FirstAnswer, queries: EventQueries) -> T_co:
        """The same answer as the first time."""


class JobCommand(RepeatableCommand[CommandResult]):
    """A command on one job, under the conditions of its context: revision and idempotency key."""

    status: ClassVar[int] = 200
    """The HTTP status that is recorded with the answer of an idempotency key."""

    job_id: UUID

    def execute(self, unit: UnitOfWork) -> CommandResult:
        unit.require_unanswered(self.context)
        job = self.load(unit)
        before = job.version
        self._require_revision(job)
        changed = self.decide(unit, job)
        if changed:
            unit.remember_answer(self.context, job, before, self.status)
        return result_of(job, changed=changed)

    def load(self, unit: UnitOfWork) -> Job:
        """The job to decide on."""
        return unit.job(self.job_id)

    @abstractmethod
    def decide(self, unit: UnitOfWork, job: Job) -> bool:
        """Decide on the job; False when nothing changed."""

    def answer_again(self, first: FirstAnswer, queries: EventQueries) -> CommandResult:
        return repeated_result(first, queries)

    def _require_revision(self, job: Job) -> None:
        expected = self.context.revision
        if expected is None:
            return
        job.require_known()
        if expected != job.revision:
            raise StaleRevision(self.job_id, expected=expected, actual=job.revision)


def result_of(job: Job, *, changed: bool) -> CommandResult:
    """The answer about a job as it is now."""
    return CommandResult(0, job.id, view(job), changed, job.version)


def repeated_result(first: FirstAnswer, queries: EventQueries) -> CommandResult:
    """The answer about a job as it was at the first answer."""
    job = queries.job_at(first.stream, first.version)
    return CommandResult(first.position, first.stream, job, True, first.version)

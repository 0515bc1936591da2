"""The unit of work that commands decide in: what one command changed is collected, or discarded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.open_recoveries import OpenRecoveries
from ledger.application.stream_cache import StreamCache
from ledger.domain.aggregate import Stream
from ledger.domain.events import PositionOf
from ledger.domain.job.job import Job
from ledger.domain.recovery.recovery import Recovery, recovery_stream
from ledger.domain.streams.access import Access
from ledger.domain.streams.idempotency import Answered, IdempotencyKey
from ledger.domain.streams.names import Name, name_stream
from ledger.domain.streams.notices import Notice
from ledger.domain.streams.tokens import Token
from ledger.store.mapper import EventMapper
from ledger.store.records import EventBatch, LeaseRow, PendingEvent, SideTableRow

S = TypeVar("S", bound=Stream)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an installation allows: how many jobs, and whether forcing requires a reason."""

    max_jobs: int | None = None
    requires_reason: bool = False


class RetryAfterCommit(Exception):
    """The command needs an event of its own batch in the store first: the writer decides it again
    right after.
    """


class ConcurrencyConflict(RetryAfterCommit):
    """Another node appended first to a stream that the command, or one beside it, decided on."""


class AlreadyAnswered(Exception):
    """The command's idempotency key was answered before: give the first answer again."""


class UnitOfWork:
    """The streams a command loads, changes and reads; it sees the uncommitted changes of the
    commands before it in the batch.
    """

    def __init__(
        self,
        streams: StreamCache,
        mapper: EventMapper,
        recoveries: OpenRecoveries,
        limits: Limits,
    ) -> None:
        self.recoveries = recoveries
        self.limits = limits
        self._streams = streams
        self._mapper = mapper
        self._touched: dict[int, Stream] = {}
        self._before: dict[int, tuple[Stream, dict[str, Any]]] = {}
        self._side_rows: list[SideTableRow] = []
        self._leases: dict[str, LeaseRow] = {}

    # -- for commands ---------------------------------------------------------------------------

    def job(self, job_id: UUID) -> Job:
        """The job, or a blank one that every decision refuses as not found."""
        job = self._streams.job(job_id)
        self._touch(job)
        return job

    def new_job(self, job_id: UUID) -> Job:
        """A blank job whose id was drawn just now, without reading."""
        self._streams.expect_new(job_id)
        return self.job(job_id)

    def peek(self, job_id: UUID) -> Job:
        """The job, for reading only."""
        return self._streams.jobs.jobs.get(job_id) or self.job(job_id)

    def live_jobs(self) -> list[Job]:
        """Every job that is not deleted, for reading only."""
        return list(self._streams.jobs.jobs.values())

    @property
    def job_count(self) -> int:
        """How many jobs are not deleted, those of this batch included."""
        known = self._streams.jobs.jobs.values()
        return sum(job.status != "deleted" for job in (*known, *self._streams.new_jobs()))

    def name(self, name: str) -> Name:
        """The stream that guards a name."""
        return self._stream(Name, name_stream(name))

    def recovery(self, number: int) -> Recovery:
        """The recovery with a number, or a blank one."""
        return self._stream(Recovery, recovery_stream(number))

    def access(self, stream: UUID) -> Access:
        """The stream of the refusals of one token."""
        return self._stream(Access, stream)

    def notice(self, stream: UUID) -> Notice:
        """The stream of one notice."""
        return self._stream(Notice, stream)

    def token(self, token_id: UUID) -> Token:
        """The stream of a token."""
        return self._stream(Token, token_id)

    def require_unanswered(self, context: CommandContext) -> None:
        """Raise AlreadyAnswered when the context's idempotency key was answered; refuse
        IdempotencyMismatch when that was for another body.
        """
        if context.idempotency is None:
            return
        key = self._stream(IdempotencyKey, context.idempotency.stream)
        key.require_same(context.idempotency.key, context.idempotency.fingerprint)
        if key.answered is None:
            return
        if isinstance(key.answered.positions[-1], PositionOf):
            raise RetryAfterCommit
        raise AlreadyAnswered

    def remember_answer(
        self, context: CommandContext, stream: Stream, before: int, status: int
    ) -> None:
        """Record, under the context's idempotency key if it has one, what was appended to a stream
        since version `before`.
        """
        if context.idempotency is None:
            return
        appended = tuple(range(before + 1, stream.version + 1))
        fingerprint = context.idempotency.fingerprint
        answered = Answered(fingerprint, status, stream.id, stream.version, appended)
        key = self._stream(IdempotencyKey, context.idempotency.stream)
        key.answer(answered, context)

    def add_side_row(self, row: SideTableRow) -> None:
        """Write a row beside the events, in the same transaction."""
        self._side_rows.append(row)

    def lease_end(self, run_id: str) -> int | None:
        """Until when (µs since the epoch) a run that is executed elsewhere lives; None for any
        other. Includes what earlier commands of this batch wrote.
        """
        row = self._leases.get(run_id) or self._streams.jobs.runs.leases.get(run_id)
        return row.expires_at if row else None

    # -- for the writer -------------------------------------------------------------------------

    def collect(self) -> tuple[EventBatch, list[Stream]]:
        """The events and rows of the command that just decided, and the streams it changed, in the
        order it touched them.
        """
        changed = [stream for stream in self._touched.values() if stream.pending_events]
        events: list[PendingEvent] = []
        for stream in changed:
            events.extend(map(self._mapper.pending_event, stream.pending))
        batch = EventBatch(tuple(events), tuple(self._side_rows))
        self._leases |= {row.run_id: row for row in batch.side_rows if isinstance(row, LeaseRow)}
        for stream in changed:
            stream.pending_events.clear()
        self.discard()
        return batch, changed

    @property
    def has_pending(self) -> bool:
        """Whether the command that just decided recorded anything."""
        return any(stream.pending_events for stream in self._touched.values())

    def discard(self) -> None:
        """Forget a command that decided nothing."""
        self._touched.clear()
        self._side_rows.clear()

    def commit(self) -> None:
        """Make the present state the one to roll back to."""
        self._before.clear()
        self._leases.clear()

    def roll_back(self) -> None:
        """Put every stream back to its state at the last commit."""
        for stream, state in self._before.values():
            # The object stays the same, because caches hold it; only its attributes go back.
            vars(stream).clear()
            vars(stream).update(state, _pending_events=[])
        self._before.clear()
        self._leases.clear()
        self.discard()

    def _stream(self, kind: type[S], stream_id: UUID) -> S:
        stream = self._streams.get(kind, stream_id)
        self._touch(stream)
        return stream

    def _touch(self, stream: Stream) -> None:
        if id(stream) not in self._touched:
            self._touched[id(stream)] = stream
            if id(stream) not in self._before:
                self._before[id(stream)] = (stream, dict(vars(stream)))

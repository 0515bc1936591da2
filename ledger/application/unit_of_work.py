"""The unit of work that commands decide in: streams loaded once, changes gathered per command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from ledger.application.job_cache import JobCache
from ledger.domain.aggregate import Stream
from ledger.domain.events import Event
from ledger.domain.job.job import Job
from ledger.domain.recovery.recovery import Recovery, recovery_stream
from ledger.domain.streams.access import Access
from ledger.domain.streams.idempotency import IdempotencyKey
from ledger.domain.streams.names import Name, name_stream
from ledger.domain.streams.notices import Notice
from ledger.domain.streams.tokens import Token
from ledger.store.event_reader import EventReader
from ledger.store.event_store import EventStore
from ledger.store.mapper import EventMapper
from ledger.store.records import EventBatch, LeaseRow, PendingEvent, SideTableRow

S = TypeVar("S", bound=Stream)


class RetryAfterCommit(Exception):
    """The command must see its own batch in the book first: the writer asks it again right
    after.
    """


class ConcurrencyConflict(RetryAfterCommit):
    """Another node wrote first to what the command, or one beside it, had decided on."""


PAGE = 2000
REMEMBERED = 50_000


class UnitOfWork:
    """What the writer's thread knows: the heads, and the other streams it has read. Commands see
    uncommitted changes.
    """

    def __init__(self, event_store: EventStore, mapper: EventMapper, job_cache: JobCache) -> None:
        self._event_store = event_store
        self._mapper = mapper
        self._events = EventReader(event_store, mapper)
        self._job_cache = job_cache
        self._others: dict[UUID, Stream] = {}
        self._touched: dict[int, Stream] = {}
        self._before: dict[int, tuple[Stream, dict[str, Any]]] = {}
        self._beside: list[SideTableRow] = []
        self._leases: dict[str, LeaseRow] = {}
        self.has_news_of_tokens = False
        """Whether another node gave out or revoked one since somebody looked."""

    # -- for commands ---------------------------------------------------------------------------

    def job(self, job_id: UUID) -> Job:
        """The job, or a blank one that every decision refuses as not found."""
        job = self._job_cache.jobs.get(job_id)
        if job is None:
            return self._other(Job, job_id)
        self._touch(job)
        return job

    def expect_new(self, job_id: UUID) -> None:
        """The job's id was drawn just now: the book need not be asked for it. Were it there all the
        same, the append would refuse a first version.
        """
        if job_id not in self._job_cache.jobs:
            self._others.setdefault(job_id, Job.blank(job_id))

    def name(self, name: str) -> Name:
        """The stream that guards a name."""
        return self._other(Name, name_stream(name))

    def request(self, stream: UUID) -> IdempotencyKey:
        """The stream of an idempotency key."""
        return self._other(IdempotencyKey, stream)

    def access(self, stream: UUID) -> Access:
        """The stream of what one token was refused."""
        return self._other(Access, stream)

    def notice(self, stream: UUID) -> Notice:
        """The stream of one notice."""
        return self._other(Notice, stream)

    def recovery(self, number: int) -> Recovery:
        """The recovery with a number, or a blank one."""
        return self._other(Recovery, recovery_stream(number))

    def peek(self, job_id: UUID) -> Job:
        """The job, for looking only: whoever decides on it asks for `job`."""
        return self._job_cache.jobs.get(job_id) or self.job(job_id)

    def live_jobs(self) -> list[Job]:
        """Every job that is not gone, for looking only."""
        return list(self._job_cache.jobs.values())

    def token(self, token_id: UUID) -> Token:
        """The stream of a token."""
        return self._other(Token, token_id)

    def add_side_row(self, row: SideTableRow) -> None:
        """Write a row beside the book, in the same transaction."""
        self._beside.append(row)

    def lease_end(self, run_id: str) -> int | None:
        """Until when (µs since the epoch) a run lives whose work is done elsewhere; None for any
        other. What earlier commands of this batch said counts.
        """
        row = self._leases.get(run_id) or self._job_cache.leases.get(run_id)
        return row.expires_at if row else None

    @property
    def job_count(self) -> int:
        """How many jobs are not deleted, those of this batch included."""
        new = (other for other in self._others.values() if isinstance(other, Job) and other.version)
        known = self._job_cache.jobs.values()
        return sum(job.status != "deleted" for job in (*known, *new))

    # -- for the writer -------------------------------------------------------------------------

    def collect(self) -> tuple[EventBatch, list[Stream]]:
        """What the command that just decided wants appended, and the streams it changed, in the
        order it touched them.
        """
        changed = [stream for stream in self._touched.values() if stream.pending_events]
        drafts: list[PendingEvent] = []
        for stream in changed:
            drafts.extend(map(self._mapper.pending_event, stream.pending))
        group = EventBatch(tuple(drafts), tuple(self._beside))
        self._leases |= {row.run_id: row for row in group.side_rows if isinstance(row, LeaseRow)}
        for stream in changed:
            stream.pending_events.clear()
        self.discard()
        return group, changed

    def apply_committed(
        self, group: EventBatch, changed: Sequence[Stream], positions: Sequence[int]
    ) -> None:
        """Take in that the group is in the book: tell jobs their positions, and the heads their
        jobs.
        """
        jobs = {stream.id.int: stream for stream in changed if isinstance(stream, Job)}
        for draft, position in zip(group.events, positions, strict=True):
            job = jobs.get(draft.stream.int)
            if job is not None:
                job.locate(draft.version, position)
        for row in group.side_rows:
            if isinstance(row, LeaseRow):
                self._job_cache.note_lease(row)
        for stream in changed:
            if not isinstance(stream, Name | Recovery):
                self._others.pop(stream.id, None)
        for job in jobs.values():
            self._job_cache.put(job)

    def catch_up(self, after: int) -> int:
        """Take in what the book holds beyond a position; returns the last position."""
        while page := self._event_store.read(after=after, limit=PAGE):
            for recorded, event in zip(page, self._mapper.to_domain_events(page), strict=True):
                if recorded.topic.startswith("job."):
                    self._take_in(event, recorded.id)
                else:
                    self._others.pop(event.originator_id, None)
                    self.has_news_of_tokens |= recorded.topic.startswith("token.")
            after = page[-1].id
        return after

    def _take_in(self, event: Event, position: int) -> None:
        job_id = event.originator_id
        job = self._job_cache.jobs.get(job_id) or Job.blank(job_id)
        if job.version == 0 and event.originator_version > 1:
            job = self.load_job(job_id)
        if event.originator_version == job.version + 1:
            event.mutate(job)
            job.locate(event.originator_version, position)
        self._others.pop(job_id, None)
        self._job_cache.put(job)

    def load_job(self, job_id: UUID) -> Job:
        """A job folded from the book, for a head that was forgotten."""
        return self._events.fold(Job.blank(job_id))

    def trim(self) -> None:
        """Forget streams that were read long ago, between batches."""
        if len(self._others) > REMEMBERED:
            self._others.clear()

    @property
    def has_pending(self) -> bool:
        """Whether the command that just decided recorded anything."""
        return any(stream.pending_events for stream in self._touched.values())

    def discard(self) -> None:
        """Forget a command that decided nothing."""
        self._touched.clear()
        self._beside.clear()

    def commit(self) -> None:
        """What was decided since the last commit stands."""
        self._before.clear()
        self._leases.clear()

    def roll_back(self) -> None:
        """Put every stream back to where it stood at the last commit."""
        for stream, state in self._before.values():
            vars(stream).clear()
            vars(stream).update(state, _pending_events=[])
        self._before.clear()
        self._leases.clear()
        self.discard()

    def forget(self, streams: set[UUID]) -> None:
        """Drop cached state that another node has gone beyond; it is read anew."""
        for stream_id in streams:
            self._others.pop(stream_id, None)
            self._job_cache.forget(stream_id)

    def _other(self, kind: type[S], stream_id: UUID) -> S:
        held = self._others.get(stream_id)
        if not isinstance(held, kind):
            held = self._events.fold(kind.blank(stream_id))
            self._others[stream_id] = held
        self._touch(held)
        return held

    def _touch(self, stream: Stream) -> None:
        if id(stream) not in self._touched:
            self._touched[id(stream)] = stream
            if id(stream) not in self._before:
                self._before[id(stream)] = (stream, dict(vars(stream)))

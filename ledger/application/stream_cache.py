"""The aggregates that the writer's thread has loaded: jobs from the job cache, others on demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from ledger.application.job_cache import JobCache
from ledger.domain.aggregate import Stream
from ledger.domain.events import Event
from ledger.domain.job.job import Job
from ledger.domain.recovery.recovery import Recovery
from ledger.domain.streams.names import Name
from ledger.store.event_reader import EventReader
from ledger.store.records import EventBatch, LeaseRow

S = TypeVar("S", bound=Stream)

PAGE = 2000
MAX_STREAMS = 50_000
"""Streams other than jobs that are cached between batches."""


class StreamCache:
    """Loads streams from the event store, once, and follows what is committed."""

    def __init__(self, events: EventReader, job_cache: JobCache) -> None:
        self.jobs = job_cache
        self._events = events
        self._others: dict[UUID, Stream] = {}
        self.has_token_changes = False
        """Whether another node created or revoked a token since the tokens were read."""

    def job(self, job_id: UUID) -> Job:
        """The job, or a blank one that every decision refuses as not found."""
        return self.jobs.jobs.get(job_id) or self.get(Job, job_id)

    def get(self, kind: type[S], stream_id: UUID) -> S:
        """The stream with all its committed events, or a blank one."""
        stream = self._others.get(stream_id)
        if not isinstance(stream, kind):
            stream = self._load(kind, stream_id)
            self._others[stream_id] = stream
        return stream

    def expect_new(self, job_id: UUID) -> None:
        """Treat a job with a fresh id as blank without reading. If it exists after all, the append
        refuses its first version.
        """
        if job_id not in self.jobs.jobs:
            self._others.setdefault(job_id, Job.blank(job_id))

    def new_jobs(self) -> list[Job]:
        """The jobs scheduled in the batch under way."""
        others = self._others.values()
        return [other for other in others if isinstance(other, Job) and other.version]

    def load_job(self, job_id: UUID) -> Job:
        """A job read from the event store."""
        return self._load(Job, job_id)

    def apply_committed(
        self, batch: EventBatch, changed: Sequence[Stream], positions: Sequence[int]
    ) -> None:
        """Apply an appended batch: jobs get their positions and go to the job cache."""
        jobs = {stream.id.int: stream for stream in changed if isinstance(stream, Job)}
        for event, position in zip(batch.events, positions, strict=True):
            job = jobs.get(event.stream.int)
            if job is not None:
                job.locate(event.version, position)
        for row in batch.side_rows:
            if isinstance(row, LeaseRow):
                self.jobs.runs.put_lease(row)
        for stream in changed:
            if not isinstance(stream, Name | Recovery):
                self._others.pop(stream.id, None)
        for job in jobs.values():
            self.jobs.put(job)

    def catch_up(self, after: int) -> int:
        """Apply what was appended beyond a position, and return the last one."""
        while page := self._events.read_stored(after=after, limit=PAGE):
            for recorded, event in zip(page, self._events.domain_events(page), strict=True):
                if recorded.topic.startswith("job."):
                    self._apply_to_job(event, recorded.id)
                else:
                    self._others.pop(event.originator_id, None)
                    self.has_token_changes |= recorded.topic.startswith("token.")
            after = page[-1].id
        return after

    def _apply_to_job(self, event: Event, position: int) -> None:
        job_id = event.originator_id
        job = self.jobs.jobs.get(job_id) or Job.blank(job_id)
        if job.version == 0 and event.originator_version > 1:
            job = self.load_job(job_id)
        if event.originator_version == job.version + 1:
            event.mutate(job)
            job.locate(event.originator_version, position)
        self._others.pop(job_id, None)
        self.jobs.put(job)

    def forget(self, streams: set[UUID]) -> None:
        """Drop streams that another node has changed; they are read again."""
        for stream_id in streams:
            self._others.pop(stream_id, None)
            self.jobs.forget(stream_id)

    def trim(self) -> None:
        """Forget streams that were read long ago, between batches."""
        if len(self._others) > MAX_STREAMS:
            self._others.clear()

    def _load(self, kind: type[S], stream_id: UUID) -> S:
        return self._events.fold(kind.blank(stream_id))

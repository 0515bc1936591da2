"""The current state of every live job, in memory: what commands decide on.

It follows the committed events and is saved as snapshots from time to time, so that a start needs
only the tail of the event store. Losing the snapshots costs only time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

from ledger.application.due_queue import DueQueue
from ledger.application.run_index import RunIndex
from ledger.application.snapshots import dump_job, load_job
from ledger.domain.job.job import Job
from ledger.store.event_store import EventStore
from ledger.store.mapper import EventMapper

PAGE = 2000


class JobCache:
    """The live jobs, with their due items and open runs. The writer's thread changes it, others
    only read.
    """

    def __init__(self) -> None:
        self.jobs: dict[UUID, Job] = {}
        self.due = DueQueue()
        self.runs = RunIndex()
        self.position = 0
        self.changed: set[UUID] = set()
        self.saving: set[UUID] = set()
        self.saving_position = 0
        self._lock = threading.Lock()

    def put(self, job: Job) -> None:
        """Store a job as the last commit left it."""
        self.changed.add(job.id)
        self._index(job)

    def _index(self, job: Job) -> None:
        with self._lock:
            if is_gone(job):
                self.jobs.pop(job.id, None)
            else:
                self.jobs[job.id] = job
        self.runs.put(job)
        self.due.put(job)

    def forget(self, job_id: UUID) -> None:
        """Drop a job that may be ahead of the event store; the next command loads it anew."""
        with self._lock:
            self.jobs.pop(job_id, None)

    def snapshot(self) -> list[Job]:
        """The live jobs, for reading only."""
        with self._lock:
            return list(self.jobs.values())

    # -- snapshots -------------------------------------------------------------------------------

    def load(self, event_store: EventStore, mapper: EventMapper) -> None:
        """Read the snapshots, then the events after them; all events when the snapshots are
        unreadable.
        """
        try:
            self._load_saved(event_store)
        except (ValueError, TypeError, KeyError, AttributeError):
            self.jobs.clear()
        self.position = event_store.snapshots_position() if self.jobs else 0
        self.catch_up(event_store, mapper)
        self.runs.load_leases(event_store)
        for job in list(self.jobs.values()):
            self._index(job)

    def _load_saved(self, event_store: EventStore) -> None:
        for job_id, version, saved in event_store.load_snapshots():
            # One of another format raises: an upgrade that was killed half-way saved only some
            # jobs anew, and what the others missed is not in the events after the position.
            self.jobs[job_id] = load_job(job_id, version, saved)

    def catch_up(self, event_store: EventStore, mapper: EventMapper) -> None:
        """Read the events after `position`."""
        while page := event_store.read(after=self.position, limit=PAGE):
            jobs_only = [item for item in page if item.topic.startswith("job.")]
            for recorded, event in zip(jobs_only, mapper.to_domain_events(jobs_only), strict=True):
                job = self.jobs.get(event.originator_id)
                if job is None and event.originator_version > 1:
                    continue  # deleted: a later save than `position` dropped its snapshot
                job = job or Job.blank(event.originator_id)
                if event.originator_version <= job.version:
                    continue
                event.mutate(job)
                job.locate(event.originator_version, recorded.id)
                self.jobs[job.id] = job
                self.changed.add(job.id)
            self.position = page[-1].id

    def begin_save(self) -> None:
        """Fix what the next save covers: the jobs changed so far, at the current position."""
        self.saving |= self.changed
        self.changed.clear()
        self.saving_position = self.position

    def next_chunk(self, limit: int) -> list[UUID]:
        """Up to `limit` jobs of the save under way."""
        return [self.saving.pop() for _ in range(min(limit, len(self.saving)))]

    def dumps(
        self, chunk: Sequence[UUID], load: Callable[[UUID], Job]
    ) -> Iterator[tuple[UUID, int, bytes | None]]:
        """The snapshots of some jobs; None for a deleted job. `load` reads one that was dropped
        from the cache since.
        """
        for job_id in chunk:
            job = self.jobs.get(job_id) or load(job_id)
            yield job_id, job.version, None if is_gone(job) else dump_job(job)

    def abandon_save(self, chunk: Sequence[UUID]) -> None:
        """The save failed: what it covered counts as unsaved again."""
        self.changed.update(chunk, self.saving)
        self.saving.clear()


def is_gone(job: Job) -> bool:
    """Whether nothing can happen to a job any more, so that it is not cached."""
    return job.version == 0 or (job.status == "deleted" and job.open_run is None)

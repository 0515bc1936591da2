"""The present state of every job, in memory: what commands decide on and what the dispatcher lives
by.

Fed by committed events. Saved now and then beside the book, so that a start needs only the tail.
Losing the saved heads loses nothing but time.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import count
from uuid import UUID

from ledger.application.due import DueItem, due_item_of
from ledger.application.snapshots import dump_job, load_job
from ledger.domain.job.job import Job
from ledger.domain.job.state import OpenRun
from ledger.store.event_store import EventStore
from ledger.store.mapper import EventMapper
from ledger.store.records import LeaseRow

PAGE = 2000


class JobCache:
    """Every live job's state, and what wakes next. The writer's thread changes it; others only
    ask.
    """

    def __init__(self) -> None:
        self.jobs: dict[UUID, Job] = {}
        self.position = 0
        self.changed: set[UUID] = set()
        self.saving: set[UUID] = set()
        self.saving_position = 0
        self.leases: dict[str, LeaseRow] = {}
        self._lease_change = 0
        self._wakes: dict[int, tuple[DueItem, int]] = {}
        self._heap: list[tuple[datetime, int, UUID]] = []
        self._open: dict[int, tuple[UUID, OpenRun]] = {}
        self._numbers = count()
        self._lock = threading.Lock()
        self._bell = threading.Event()

    # -- fed by the writer ----------------------------------------------------------------------

    def put(self, job: Job) -> None:
        """Take in a job as the last commit left it."""
        self.changed.add(job.id)
        self._place(job)

    def _place(self, job: Job) -> None:
        with self._lock:
            if is_gone(job):
                self.jobs.pop(job.id, None)
            else:
                self.jobs[job.id] = job
            self._index(job, due_item_of(job))

    def note_lease(self, row: LeaseRow) -> None:
        """Take in how long a run lives whose work is done elsewhere."""
        if row.expires_at is None:
            self.leases.pop(row.run_id, None)
        else:
            self.leases[row.run_id] = row

    def load_leases(self, event_store: EventStore) -> None:
        """The leases as the book holds them."""
        self.leases, self._lease_change = {}, 0
        self.follow_leases(event_store)

    def follow_leases(self, event_store: EventStore) -> None:
        """Take in the leases that were written since the last look, by other nodes too. One may be
        of a run whose start was not seen yet; those of runs whose end was seen are gone.
        """
        changes = event_store.leases(after=self._lease_change)
        self._lease_change = changes.change
        for row in changes.rows:
            self.note_lease(row)

    def forget(self, job_id: UUID) -> None:
        """Drop what is held of a job because it may be ahead of the book; the next question loads
        it anew.
        """
        with self._lock:
            self.jobs.pop(job_id, None)

    def notify(self) -> None:
        """Wake whoever waits for something to be due."""
        self._bell.set()

    def _index(self, job: Job, wake: DueItem | None) -> None:
        key = job.id.int
        self._index_run(key, job)
        before = self._wakes.get(key)
        if before is not None and before[0] == wake:
            return
        if wake is None:
            self._wakes.pop(key, None)
        else:
            self._put(wake)

    def _index_run(self, key: int, job: Job) -> None:
        _, before = self._open.pop(key, (None, None))
        if job.open_run is not None:
            self._open[key] = (job.id, job.open_run)
        if before is not None and (job.open_run is None or job.open_run.run_id != before.run_id):
            self.leases.pop(before.run_id, None)  # whoever recorded its end

    def _put(self, wake: DueItem) -> None:
        number = next(self._numbers)
        self._wakes[wake.job_id.int] = (wake, number)
        heapq.heappush(self._heap, (wake.at, number, wake.job_id))

    # -- asked by the dispatcher ----------------------------------------------------------------

    def take_due(self, now: datetime, limit: int) -> list[DueItem]:
        """Up to `limit` wakes whose time has come, in order; each is given out once until its job
        changes.
        """
        due: list[DueItem] = []
        with self._lock:
            while self._heap and self._heap[0][0] <= now and len(due) < limit:
                _, number, job_id = heapq.heappop(self._heap)
                wake, current = self._wakes.get(job_id.int, (None, -1))
                if wake is not None and current == number:
                    del self._wakes[job_id.int]
                    due.append(wake)
        return due

    def give_back(self, wakes: Sequence[DueItem]) -> None:
        """Return wakes that could not be dealt with; those of jobs that have changed since are out
        of date.
        """
        with self._lock:
            for wake in wakes:
                if wake.job_id.int not in self._wakes:
                    self._put(wake)

    def next_at(self) -> datetime | None:
        """When something is next due."""
        with self._lock:
            while self._heap:
                at, number, job_id = self._heap[0]
                if self._wakes.get(job_id.int, (None, -1))[1] == number:
                    return at
                heapq.heappop(self._heap)
        return None

    def wait(self, seconds: float | None) -> None:
        """Wait until something changed, at most so long."""
        self._bell.wait(seconds)
        self._bell.clear()

    def open_runs(self) -> list[tuple[UUID, OpenRun]]:
        """The runs under way, on any node."""
        with self._lock:
            return list(self._open.values())

    def snapshot(self) -> list[Job]:
        """The live jobs, for reading only."""
        with self._lock:
            return list(self.jobs.values())

    # -- saved beside the book ------------------------------------------------------------------

    def load(self, event_store: EventStore, mapper: EventMapper) -> None:
        """Saved heads, then the tail of the book; the whole book when what was saved is
        unreadable.
        """
        try:
            self._load_saved(event_store)
        except (ValueError, TypeError, KeyError, AttributeError):
            self.jobs.clear()
        self.position = event_store.snapshots_position() if self.jobs else 0
        self.catch_up(event_store, mapper)
        self.load_leases(event_store)
        for job in list(self.jobs.values()):
            self._place(job)

    def _load_saved(self, event_store: EventStore) -> None:
        for job_id, version, frozen in event_store.load_snapshots():
            job = load_job(job_id, version, frozen)
            if job is not None:
                self.jobs[job_id] = job

    def catch_up(self, event_store: EventStore, mapper: EventMapper) -> None:
        """Take in the events after `position`."""
        while page := event_store.read(after=self.position, limit=PAGE):
            jobs_only = [item for item in page if item.topic.startswith("job.")]
            for recorded, event in zip(jobs_only, mapper.to_domain_events(jobs_only), strict=True):
                job = self.jobs.get(event.originator_id)
                if job is None and event.originator_version > 1:
                    continue  # gone: its head was dropped by a later save than `position` tells of
                job = job or Job.blank(event.originator_id)
                if event.originator_version <= job.version:
                    continue
                event.mutate(job)
                job.locate(event.originator_version, recorded.id)
                self.jobs[job.id] = job
                self.changed.add(job.id)
            self.position = page[-1].id

    def begin_save(self) -> None:
        """Fix what the next save covers: the heads changed so far, and the position they are of."""
        self.saving |= self.changed
        self.changed.clear()
        self.saving_position = self.position

    def next_lot(self, limit: int) -> list[UUID]:
        """Up to `limit` jobs of the save under way."""
        return [self.saving.pop() for _ in range(min(limit, len(self.saving)))]

    def frozen(
        self, lot: Sequence[UUID], load: Callable[[UUID], Job]
    ) -> Iterator[tuple[UUID, int, bytes | None]]:
        """The heads of a lot as they are saved; None for a job that is gone. `load` gives one whose
        head was forgotten since.
        """
        for job_id in lot:
            job = self.jobs.get(job_id) or load(job_id)
            yield job_id, job.version, None if is_gone(job) else dump_job(job)

    def abandon_save(self, lot: Sequence[UUID]) -> None:
        """The save under way failed: what it covered is unsaved as before."""
        self.changed.update(lot, self.saving)
        self.saving.clear()


def is_gone(job: Job) -> bool:
    """Whether nothing can happen to a job any more, so that no head is kept of it."""
    return job.version == 0 or (job.status == "deleted" and job.open_run is None)

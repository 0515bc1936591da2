"""A job's history with its state before and after each event, page by page.

The states are folds of the book. Of a long history what stood at every few thousandth event is
folded from few of its events where that is possible, else from all, and remembered: the next page
of it costs one stretch only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ledger.application.snapshots import dump_job, load_job
from ledger.domain.job.job import Job
from ledger.domain.job.view import instant, view
from ledger.errors import JobNotFound
from ledger.store.event_queries import event_view
from ledger.store.event_reader import EventReader
from ledger.store.records import StoredEvent
from projections.history.partial_replay import short_fold

STRETCH = 2000
"""Events between remembered states, and events read at a time."""
MAX_REMEMBERED = 512


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Events, each with `before` and `after`, and the cursor of the next page."""

    events: list[dict[str, Any]]
    following: int | None


class Remembered:
    """States of jobs after some of their events, the latest used ones. From any thread."""

    def __init__(self) -> None:
        self._states: OrderedDict[tuple[UUID, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, job_id: UUID, version: int) -> Job | None:
        """The job right after an event, if that is remembered."""
        with self._lock:
            frozen = self._states.get((job_id, version))
        return load_job(job_id, version, frozen) if frozen is not None else None

    def keep(self, job: Job) -> None:
        """Remember a job as it is."""
        with self._lock:
            self._states[job.id, job.version] = dump_job(job)
            while len(self._states) > MAX_REMEMBERED:
                self._states.popitem(last=False)


class History:
    """Answers from the book of one ledger, deleted jobs included."""

    def __init__(
        self, events: EventReader, live_job: Callable[[UUID], Job | None] = lambda _: None
    ) -> None:
        """`live_job` gives a copy of a job as it is now, where that is known without reading its
        events.
        """
        self._events = events
        self._live_job = live_job
        self._wholes = Remembered()
        self._glimpses = Remembered()
        """States that were folded from few events: not all is known of them."""

    def page(
        self,
        job_id: UUID,
        *,
        cursor: int | None,
        limit: int,
        is_descending: bool,
        as_of: int | None = None,
    ) -> HistoryPage:
        """Up to `limit` events beyond the version `cursor`, none after the position `as_of`.
        Refuses JobNotFound.
        """
        end = self.version_at(job_id, as_of)
        if is_descending:
            last = min(end, cursor - 1) if cursor is not None else end
            first = max(1, last - limit + 1)
            following = first if first > 1 else None
        else:
            first = min(cursor or 0, end) + 1
            last = min(end, first + limit - 1)
            following = last if last < end else None
        events = list(self._told(job_id, first, last))
        return HistoryPage(events[::-1] if is_descending else events, following)

    def job_at(self, job_id: UUID, as_of: int) -> dict[str, Any]:
        """The job as it stood at a position. Refuses JobNotFound, also when it was deleted then."""
        job = self._state(job_id, self.version_at(job_id, as_of))
        if job.status == "deleted":
            raise JobNotFound(job_id)
        return view(job)

    def state(self, job_id: UUID, version: int) -> Job:
        """The job right after one of its events, to be looked at and not changed; `run_count` and
        `last_delivery` may be missing. A long history's present comes from memory, its past from
        few of its events.
        """
        present = self._present(job_id, version) if version > STRETCH else None
        near = present or short_fold(self._events, job_id, version)
        return near or self._glimpse(job_id, version)

    def _present(self, job_id: UUID, version: int) -> Job | None:
        job = self._live_job(job_id)
        return job if job is not None and job.version == version else None

    def require_known(self, job_id: UUID) -> None:
        """Refuse JobNotFound when there never was such a job."""
        if not self._has(job_id, 1, None):
            raise JobNotFound(job_id)

    def version_at(self, job_id: UUID, as_of: int | None) -> int:
        """The version of the job's last event, or of the last one up to a position: versions have
        no gaps, so it is found by halving. Refuses JobNotFound when there was none.
        """
        if not self._has(job_id, 1, as_of):
            raise JobNotFound(job_id)
        known, missing = 1, 2
        while self._has(job_id, missing, as_of):
            known, missing = missing, missing * 2
        while missing - known > 1:
            middle = (known + missing) // 2
            is_known = self._has(job_id, middle, as_of)
            known, missing = (middle, missing) if is_known else (known, middle)
        return known

    def _has(self, job_id: UUID, version: int, as_of: int | None) -> bool:
        if as_of is None:
            return self._events.has_event(job_id, version)
        found = self._events.stream_stored(job_id, after=version - 1, upto=version, limit=1)
        return bool(found) and found[0].id <= as_of

    def _told(self, job_id: UUID, first: int, last: int) -> Iterator[dict[str, Any]]:
        """The events from one version to another, each between its two states."""
        job = self._glimpse(job_id, first - 1)
        while job.version < last:
            page = self._stretch(job, last)
            facts = self._events.decode(page)
            for fact, event in zip(facts, self._events.domain_events(page), strict=True):
                before = facets(job)
                event.mutate(job)
                yield {**event_view(fact), "before": before, "after": facets(job)}

    def _state(self, job_id: UUID, version: int) -> Job:
        """The job right after an event; folded from the nearest remembered state before it."""
        job = self._nearest(job_id, version)
        while job.version < version:
            for event in self._events.domain_events(self._stretch(job, version)):
                event.mutate(job)
            if job.version % STRETCH == 0:
                self._wholes.keep(job)
        return job

    def _glimpse(self, job_id: UUID, version: int) -> Job:
        """As `state`, from the book."""
        base = version - version % STRETCH
        job = self._recall(job_id, base) or short_fold(self._events, job_id, base)
        if job is None:
            return self._state(job_id, version)
        self._glimpses.keep(job)
        while job.version < version:
            for event in self._events.domain_events(self._stretch(job, version)):
                event.mutate(job)
        return job

    def _recall(self, job_id: UUID, version: int) -> Job | None:
        return self._wholes.get(job_id, version) or self._glimpses.get(job_id, version)

    def _stretch(self, job: Job, last: int) -> list[StoredEvent]:
        """The events after the job's version, up to `last` or to the next state to remember."""
        upto = min(last, (job.version // STRETCH + 1) * STRETCH)
        return self._events.stream_stored(job.id, after=job.version, upto=upto, limit=STRETCH)

    def _nearest(self, job_id: UUID, version: int) -> Job:
        for known in range(version - version % STRETCH, 0, -STRETCH):
            job = self._wholes.get(job_id, known)
            if job is not None:
                return job
        return Job.blank(job_id)


def facets(job: Job) -> dict[str, Any]:
    """What a history shows of a state; all null before the first event."""
    is_there = job.version > 0
    return {
        "status": job.status if is_there else None,
        "enabled": job.enabled if is_there else None,
        "next_run_at": instant(job.next_run_at),
        "paused_until": instant(job.paused_until),
        "consecutive_errors": job.consecutive_errors if is_there else None,
        "consecutive_losses": job.consecutive_losses if is_there else None,
        "open_run": job.open_run.run_id if job.open_run else None,
    }

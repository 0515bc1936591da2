"""A job's history with its state before and after each event, page by page.

The states are replayed from events. Of a long history the state at every `STATE_EVERY`th event is
replayed from few events where that is possible, else from all, and cached: the next page then costs
at most `STATE_EVERY` events.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from ledger.application.snapshots import dump_job, load_job
from ledger.domain.job.job import Job
from ledger.domain.job.view import instant, view
from ledger.errors import JobNotFound
from ledger.store.event_queries import event_view
from ledger.store.event_reader import EventReader
from ledger.store.records import StoredEvent
from projections.history.partial_replay import partial_state

STATE_EVERY = 2000
"""Events between cached states, and events read at a time."""
MAX_STATES = 512


class StateCache:
    """States of jobs after some of their events, the latest used ones. From any thread."""

    def __init__(self) -> None:
        self._states: OrderedDict[tuple[UUID, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, job_id: UUID, version: int) -> Job | None:
        """The job right after an event, if it is cached."""
        with self._lock:
            state = self._states.get((job_id, version))
        return load_job(job_id, version, state) if state is not None else None

    def put(self, job: Job) -> None:
        """Cache a job as it is."""
        with self._lock:
            self._states[job.id, job.version] = dump_job(job)
            while len(self._states) > MAX_STATES:
                self._states.popitem(last=False)


class History:
    """Answers from the events of one ledger, deleted jobs included."""

    def __init__(
        self, events: EventReader, live_job: Callable[[UUID], Job | None] = lambda _: None
    ) -> None:
        """`live_job` gives a copy of a job as it is now, where that is known without reading its
        events.
        """
        self._events = events
        self._live_job = live_job
        self._complete = StateCache()
        self._partial = StateCache()
        """States replayed from few events: they lack `UNKNOWN_FIELDS`."""

    def page(
        self,
        job_id: UUID,
        *,
        cursor: int | None,
        limit: int,
        is_descending: bool,
        as_of: int | None = None,
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Up to `limit` events beyond the version `cursor`, none after the position `as_of`, each
        with `before` and `after`; and the cursor of the next page. Raises JobNotFound.
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
        events = list(self._between_states(job_id, first, last))
        return events[::-1] if is_descending else events, following

    def job_at(self, job_id: UUID, as_of: int) -> dict[str, Any]:
        """The job at a position. Raises JobNotFound, also when it was deleted by then."""
        job = self._complete_state(job_id, self.version_at(job_id, as_of))
        if job.status == "deleted":
            raise JobNotFound(job_id)
        return view(job)

    def state(self, job_id: UUID, version: int) -> Job:
        """The job right after one of its events, for reading only; `UNKNOWN_FIELDS` may be missing.
        The latest state of a long history comes from memory, an earlier one from few events.
        """
        live = self._live_job(job_id) if version > STATE_EVERY else None
        if live is not None and live.version == version:
            return live
        return partial_state(self._events, job_id, version) or self._state(job_id, version)

    def require_known(self, job_id: UUID) -> None:
        """Raise JobNotFound when there never was such a job."""
        if not self._has(job_id, 1, None):
            raise JobNotFound(job_id)

    def version_at(self, job_id: UUID, as_of: int | None) -> int:
        """The version of the job's last event up to a position (None: of all), found by binary
        search: versions have no gaps. Raises JobNotFound when there is none.
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

    def _between_states(self, job_id: UUID, first: int, last: int) -> Iterator[dict[str, Any]]:
        """The events from one version to another, each between its two states."""
        job = self._state(job_id, first - 1)
        while job.version < last:
            page = self._next_events(job, last)
            recorded = self._events.decode(page)
            for shown, event in zip(recorded, self._events.domain_events(page), strict=True):
                before = visible_state(job)
                event.mutate(job)
                yield {**event_view(shown), "before": before, "after": visible_state(job)}

    def _complete_state(self, job_id: UUID, version: int) -> Job:
        """The job right after an event, replayed from the nearest complete state before it."""
        job = self._nearest(job_id, version)
        while job.version < version:
            self._replay(job, version)
            if job.version % STATE_EVERY == 0:
                self._complete.put(job)
        return job

    def _state(self, job_id: UUID, version: int) -> Job:
        """As `state`, from events."""
        base = version - version % STATE_EVERY
        job = (
            self._complete.get(job_id, base)
            or self._partial.get(job_id, base)
            or partial_state(self._events, job_id, base)
        )
        if job is None:
            return self._complete_state(job_id, version)
        self._partial.put(job)
        while job.version < version:
            self._replay(job, version)
        return job

    def _replay(self, job: Job, last: int) -> None:
        for event in self._events.domain_events(self._next_events(job, last)):
            event.mutate(job)

    def _next_events(self, job: Job, last: int) -> list[StoredEvent]:
        """The events after the job's version, up to `last` or to the next state to cache."""
        upto = min(last, (job.version // STATE_EVERY + 1) * STATE_EVERY)
        return self._events.stream_stored(job.id, after=job.version, upto=upto, limit=STATE_EVERY)

    def _nearest(self, job_id: UUID, version: int) -> Job:
        for known in range(version - version % STATE_EVERY, 0, -STATE_EVERY):
            job = self._complete.get(job_id, known)
            if job is not None:
                return job
        return Job.blank(job_id)


def visible_state(job: Job) -> dict[str, Any]:
    """The fields of a state that a history shows; all null before the first event."""
    is_scheduled = job.version > 0
    return {
        "status": job.status if is_scheduled else None,
        "enabled": job.enabled if is_scheduled else None,
        "next_run_at": instant(job.next_run_at),
        "paused_until": instant(job.paused_until),
        "consecutive_errors": job.consecutive_errors if is_scheduled else None,
        "consecutive_losses": job.consecutive_losses if is_scheduled else None,
        "open_run": job.open_run.run_id if job.open_run else None,
    }

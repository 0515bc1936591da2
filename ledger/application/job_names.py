"""The names of jobs at any position, also of deleted ones, from the events that reserved them."""

from __future__ import annotations

import threading
from collections.abc import Collection

from ledger.domain.streams.names import NameReserved
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader


class JobNameHistory:
    """The names of one ledger, cached up to the last position asked for. Any thread may ask."""

    def __init__(self, events: EventReader) -> None:
        self._events = events
        self._given: dict[str, list[tuple[int, str]]] = {}
        """By job, its names with the positions at which it got them, the oldest first."""
        self._position = 0
        self._lock = threading.Lock()

    def of(self, ids: Collection[str], until: int) -> dict[str, str]:
        """The names that those jobs had at a position, or last had before they were deleted. The
        first call reads one event for each name there is, later ones only new events.
        """
        with self._lock:
            self._read_until(until)
            found = {job_id: self._name(job_id, until) for job_id in ids}
        return {job_id: name for job_id, name in found.items() if name is not None}

    def _read_until(self, until: int) -> None:
        while self._position < until:
            query = AuditQuery(
                topics=(NameReserved.TOPIC,), after_position=self._position, limit=MAX_PAGE
            )
            page = self._events.find(query)
            for event in page:
                self._given.setdefault(event.data["job_id"], []).append(
                    (event.position, event.data["name"])
                )
            last = page[-1].position if page else until
            self._position = last if len(page) == MAX_PAGE else max(last, until)

    def _name(self, job_id: str, until: int) -> str | None:
        then = [name for position, name in self._given.get(job_id, ()) if position <= until]
        return then[-1] if then else None

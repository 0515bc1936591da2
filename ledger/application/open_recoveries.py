"""Which recoveries there are, and which of them may still be open, as the book says."""

from __future__ import annotations

from ledger.domain.recovery.recovery import recovery_number
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.audit_search import all_found
from ledger.store.event_store import EventStore
from ledger.store.mapper import EventMapper

PLANNED = "recovery.planned"
TOPICS = (PLANNED, "recovery.aborted", "recovery.completed")


class OpenRecoveries:
    """What one thread knows of them; it is as new as its last look."""

    def __init__(self, event_store: EventStore, mapper: EventMapper) -> None:
        self.last = 0
        """The number of the newest."""
        self.open: dict[int, None] = {}
        """The numbers of those that have not ended, the oldest first."""
        self._event_store = event_store
        self._mapper = mapper
        self._position = 0

    def look(self) -> None:
        """Take in what was appended since. Raises Unavailable when the book cannot be read."""
        query = AuditQuery(topics=TOPICS, after_position=self._position, limit=MAX_PAGE)
        for item in all_found(self._event_store, query):
            [fact] = self._mapper.to_recorded_events([item])
            self._take(fact.topic, recovery_number(fact.data["recovery_id"]))
            self._position = fact.position

    def _take(self, topic: str, number: int) -> None:
        if topic == PLANNED:
            self.last = number
            self.open[number] = None
        else:
            self.open.pop(number, None)

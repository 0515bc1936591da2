"""Which recoveries there are, and which may still be open."""

from __future__ import annotations

from ledger.domain.recovery.recovery import (
    RecoveryAborted,
    RecoveryCompleted,
    RecoveryPlanned,
    recovery_number,
)
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.audit_search import all_found
from ledger.store.event_store import EventStore
from ledger.store.mapper import EventMapper

TOPICS = (RecoveryPlanned.TOPIC, RecoveryAborted.TOPIC, RecoveryCompleted.TOPIC)


class OpenRecoveries:
    """The numbers of recoveries, as of the last `refresh`. Used by one thread."""

    def __init__(self, event_store: EventStore, mapper: EventMapper) -> None:
        self.open: dict[int, None] = {}
        """The numbers of those that have not ended, the oldest first."""
        self._last = 0
        self._event_store = event_store
        self._mapper = mapper
        self._position = 0

    def refresh(self) -> int:
        """Read what was appended since, and return the number of the newest recovery (0: none).
        Raises Unavailable when the store cannot be read.
        """
        query = AuditQuery(topics=TOPICS, after_position=self._position, limit=MAX_PAGE)
        for item in all_found(self._event_store, query):
            [event] = self._mapper.to_recorded_events([item])
            self._take(event.topic, recovery_number(event.data["recovery_id"]))
            self._position = event.position
        return self._last

    def _take(self, topic: str, number: int) -> None:
        if topic == RecoveryPlanned.TOPIC:
            self._last = number
            self.open[number] = None
        else:
            self.open.pop(number, None)

"""Which recoveries there are, and which may still be open."""

from __future__ import annotations

from ledger.domain.recovery.recovery import (
    RecoveryAborted,
    RecoveryCompleted,
    RecoveryPlanned,
    recovery_number,
)
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader

TOPICS = (RecoveryPlanned.TOPIC, RecoveryAborted.TOPIC, RecoveryCompleted.TOPIC)


class OpenRecoveries:
    """The numbers of recoveries, as of the last `refresh`. Used by one thread."""

    def __init__(self, events: EventReader) -> None:
        self.open: dict[int, None] = {}
        """The numbers of those that have not ended, the oldest first."""
        self._last = 0
        self._events = events
        self._position = 0

    def refresh(self) -> int:
        """Read what was appended since, and return the number of the newest recovery (0: none).
        Raises Unavailable when the store cannot be read.
        """
        query = AuditQuery(topics=TOPICS, after_position=self._position, limit=MAX_PAGE)
        for event in self._events.find_all(query):
            self._apply(event.topic, recovery_number(event.data["recovery_id"]))
            self._position = event.position
        return self._last

    def _apply(self, topic: str, number: int) -> None:
        if topic == RecoveryPlanned.TOPIC:
            self._last = number
            self.open[number] = None
        else:
            self.open.pop(number, None)

"""The book as the eventsourcing library sees it: an application recorder over the store
contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, Notification, StoredEvent, Subscription

from ledger.errors import Refused
from ledger.store.event_store import EventStore


class EventStoreRecorder(ApplicationRecorder):
    """Reads through to the book. Writing goes through the group-commit writer only, so
    `insert_events` refuses.
    """

    def __init__(self, event_store: EventStore) -> None:
        self._event_store = event_store

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],  # noqa: ARG002  the library's
        **kwargs: Any,  # noqa: ARG002
    ) -> Sequence[int] | None:
        raise Refused("Events are appended by commands, through the ledger's writer.")

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        events = self._event_store.stream(
            UUID(str(originator_id)), after=gt or 0, upto=lte, limit=2**62
        )
        chosen = events[::-1] if desc else events
        return chosen[:limit]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        after = (start or 0) - (1 if inclusive_of_start and start else 0)
        page = self._event_store.read(after=after, limit=limit)
        return [
            item
            for item in page
            if (stop is None or item.id <= stop) and (not topics or item.topic in topics)
        ]

    def max_notification_id(self) -> int | None:
        return self._event_store.tail().position or None

    def subscribe(
        self,
        gt: int | None = None,  # noqa: ARG002  the library's
        topics: Sequence[str] = (),  # noqa: ARG002
    ) -> Subscription[ApplicationRecorder]:
        raise Refused("The book has no subscriptions: copies pull, and wake on a commit.")

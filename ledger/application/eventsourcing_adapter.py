"""The ledger as an application of the `eventsourcing` library: its repository, notification log and
subscriptions read the ledger; writing except by commands is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application, Repository
from eventsourcing.persistence import (
    ApplicationRecorder,
    EventStore,
    ListenNotifySubscription,
    Mapper,
    Notification,
    StoredEvent,
    Subscription,
)
from eventsourcing.utils import Environment, EnvType

from ledger.application.ledger import Ledger
from ledger.domain.aggregate import Stream
from ledger.domain.job.job import Job
from ledger.domain.recovery.recovery import Recovery
from ledger.domain.streams.access import Access
from ledger.domain.streams.idempotency import IdempotencyKey
from ledger.domain.streams.names import Name
from ledger.domain.streams.notices import Notice
from ledger.domain.streams.tokens import Token
from ledger.errors import Refused
from ledger.store.audit_query import AuditQuery

AGGREGATES: dict[str, type[Stream]] = {
    "access": Access,
    "job": Job,
    "name": Name,
    "notice": Notice,
    "recovery": Recovery,
    "request": IdempotencyKey,
    "token": Token,
}
"""By the first word of the topics of their events."""


class WritesAreCommands(Refused):
    """The library's own methods for writing were called."""

    def __init__(self) -> None:
        super().__init__(
            "Events are appended by commands only: use ledger.execute(…), or a method such as "
            "ledger.pause(…)."
        )


class LedgerApplication(Application[UUID]):
    """An open ledger with the library's interface, for reading and following.

    `repository.get(id, version=…)` returns an aggregate, `notification_log.select(…)` pages all
    events; `eventsourcing.projection.ApplicationSubscription` and the library's followers follow
    them. Closing it leaves the ledger open.
    """

    name = "jobledger"
    log_section_size = 1000

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        super().__init__()

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:  # noqa: ARG002
        """The process's environment configures nothing here."""
        return Environment(name, {"PERSISTENCE_MODULE": "eventsourcing.popo"})

    def construct_mapper(self) -> Mapper[UUID]:
        return self._ledger.mapper

    def construct_recorder(self) -> ApplicationRecorder:
        return LedgerRecorder(self._ledger)

    def construct_repository(self) -> Repository[UUID]:
        return LedgerRepository(self.events, self._ledger)

    def take_snapshot(self, *_: Any, **__: Any) -> None:
        """The ledger takes its snapshots by itself."""
        raise WritesAreCommands


class LedgerRepository(Repository[UUID]):
    """Folds aggregates from their events."""

    def __init__(self, event_store: EventStore[UUID], ledger: Ledger) -> None:
        super().__init__(event_store)
        self._events = ledger.events

    def get(self, aggregate_id: UUID, *, version: int | None = None, **_: Any) -> Any:
        """The aggregate, up to a version. Raises AggregateNotFoundError when it has no events."""
        first = self._events.stream_stored(aggregate_id, after=0, upto=1, limit=1)
        if not first:
            raise AggregateNotFoundError(aggregate_id)
        kind = AGGREGATES[first[0].topic.partition(".")[0]]
        return self._events.fold(kind.blank(aggregate_id), upto=version)


class LedgerRecorder(ApplicationRecorder):
    """Reads from the ledger's event store."""

    def __init__(self, ledger: Ledger) -> None:
        self._event_store = ledger.event_store
        self._listeners = ledger.writer.listeners

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],  # noqa: ARG002  the library's signature
        **_: Any,
    ) -> Sequence[int] | None:
        raise WritesAreCommands

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        after, last = gt or 0, 2**62 if lte is None else lte
        stream = UUID(str(originator_id))
        if not desc:
            return self._event_store.stream(stream, after=after, upto=last, limit=limit or 2**62)
        events = self._event_store.stream(stream, after=after, upto=last, limit=2**62)
        return events[::-1][:limit]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Up to `limit` events with the given topics: others do not count towards the limit."""
        after = (start or 0) - (1 if inclusive_of_start and start else 0)
        query = AuditQuery(
            topics=tuple(topics), after_position=after, until_position=stop, limit=limit
        )
        return self._event_store.find(query)

    def max_notification_id(self) -> int | None:
        return self._event_store.tail_position() or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        return LedgerSubscription(self, self._listeners, gt, topics)


class LedgerSubscription(ListenNotifySubscription[ApplicationRecorder]):
    """Reads when the ledger has committed events, of this node or another."""

    def __init__(
        self,
        recorder: ApplicationRecorder,
        listeners: list[Any],
        gt: int | None,
        topics: Sequence[str],
    ) -> None:
        self._listeners = listeners
        super().__init__(recorder, gt, topics)
        listeners.append(self._notified)

    def stop(self) -> None:
        if self._notified in self._listeners:
            self._listeners.remove(self._notified)
        super().stop()

    def _notified(self, _: int) -> None:
        self._has_been_notified.set()

"""The library's application, over our own book, mapper and recorder."""

from __future__ import annotations

from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import ApplicationRecorder, Mapper
from eventsourcing.utils import Environment, EnvType

from ledger.chance import Chance
from ledger.store.codec import Codec, PlainJSON
from ledger.store.event_store import EventStore
from ledger.store.eventsourcing_adapter import EventStoreRecorder
from ledger.store.mapper import EventMapper


class Jobs(Application[UUID]):
    """The library's application over our book: mapper and recorder are ours, and the environment is
    not consulted.
    """

    name = "jobledger"

    def __init__(self, event_store: EventStore, chance: Chance) -> None:
        self.event_store = event_store
        self.event_mapper = EventMapper(Codec(chance.random_bytes, PlainJSON()), event_store.texts)
        super().__init__()

    def construct_env(
        self,
        name: str,
        env: EnvType | None = None,  # noqa: ARG002  the library's
    ) -> Environment:
        """The environment configures nothing: settings are read once, elsewhere."""
        return Environment(name, {"PERSISTENCE_MODULE": "eventsourcing.popo"})

    def construct_mapper(self) -> Mapper[UUID]:
        return self.event_mapper

    def construct_recorder(self) -> ApplicationRecorder:
        return EventStoreRecorder(self.event_store)

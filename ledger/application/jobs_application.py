"""The library's application, over our own book, mapper and recorder."""

from __future__ import annotations

from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import ApplicationRecorder, Mapper
from eventsourcing.utils import Environment, EnvType

from ledger.chance import Chance
from ledger.store.codec import Codec, PlainJSON
from ledger.store.event_store import Book
from ledger.store.eventsourcing_adapter import BookRecorder
from ledger.store.mapper import EventMapper


class Jobs(Application[UUID]):
    """The library's application over our book: mapper and recorder are ours, and the environment is
    not consulted.
    """

    name = "jobledger"

    def __init__(self, book: Book, chance: Chance) -> None:
        self.book = book
        self.event_mapper = EventMapper(Codec(chance.random_bytes, PlainJSON()), book.texts)
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
        return BookRecorder(self.book)

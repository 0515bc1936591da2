"""The stores that the contract suite runs against: one for each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.shelves import PostgresShelf, Shelf, SQLiteShelf, own_name

EventStoreFactory = Callable[[], Shelf]


@pytest.fixture(params=["sqlite", "postgres"])
def event_store_factory(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[EventStoreFactory]:
    """Gives empty stores, each with a database of its own, and removes them afterwards."""
    with ExitStack() as opened:

        def make() -> Shelf:
            shelf: Shelf
            if request.param == "sqlite":
                shelf = SQLiteShelf(tmp_path / own_name())
            else:
                dsn = request.getfixturevalue("postgres_dsn")
                shelf = PostgresShelf(dsn, own_name())
            opened.callback(shelf.close)
            return shelf

        yield make


@pytest.fixture
def shelf(event_store_factory: EventStoreFactory) -> Shelf:
    """One empty store."""
    return event_store_factory()

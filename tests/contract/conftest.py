"""The stores that the contract suite runs against: one for each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from projections.stores.postgres import PostgresReadModelStore
from projections.stores.sqlite import SQLiteReadModelStore
from projections.stores.store import ReadModelStore
from tests.contract.stores import PostgresStoreHarness, SQLiteStoreHarness, StoreHarness, own_name

EventStoreFactory = Callable[[], StoreHarness]


@pytest.fixture(params=["sqlite", "postgres"])
def event_store_factory(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[EventStoreFactory]:
    """Gives empty stores, each with a database of its own, and removes them afterwards."""
    with ExitStack() as opened:

        def make() -> StoreHarness:
            harness: StoreHarness
            if request.param == "sqlite":
                harness = SQLiteStoreHarness(tmp_path / own_name())
            else:
                dsn = request.getfixturevalue("postgres_dsn")
                harness = PostgresStoreHarness(dsn, own_name())
            opened.callback(harness.close)
            return harness

        yield make


@pytest.fixture
def harness(event_store_factory: EventStoreFactory) -> StoreHarness:
    """One empty store."""
    return event_store_factory()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReadModelStore]:
    """An empty store of read models."""
    made: ReadModelStore
    if request.param == "sqlite":
        made = SQLiteReadModelStore(tmp_path / "projections.db")
    else:
        harness: PostgresStoreHarness = request.getfixturevalue("postgres_harness")
        made = PostgresReadModelStore(harness.address)
        assert made.leader_lock.is_held()
    with closing(made):
        yield made

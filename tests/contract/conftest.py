"""The shelves that the contract suite runs against: one for each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.shelves import PostgresShelf, Shelf, SQLiteShelf, own_name

BookFactory = Callable[[], Shelf]


@pytest.fixture(params=["sqlite", "postgres"])
def book_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BookFactory]:
    """Gives empty shelves, each with a database of its own, and puts them away afterwards."""
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
def shelf(book_factory: BookFactory) -> Shelf:
    """One empty shelf."""
    return book_factory()

"""The shelves that the contract suite runs against: one for each database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.contract.shelves import PostgresShelf, Shelf, SQLiteShelf

BookFactory = Callable[[], Shelf]
ShelfFactory = Callable[[], PostgresShelf]
_numbers = count(1)


@pytest.fixture(params=["sqlite", "postgres"])
def book_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BookFactory]:
    """Gives empty shelves, each with a database of its own, and puts them away afterwards."""
    with ExitStack() as opened:

        def make() -> Shelf:
            number = next(_numbers)
            shelf: Shelf
            if request.param == "sqlite":
                shelf = SQLiteShelf(tmp_path / f"shelf-{number}")
            else:
                dsn = request.getfixturevalue("postgres_dsn")
                shelf = PostgresShelf(dsn, schema_name(number))
            opened.callback(shelf.close)
            return shelf

        yield make


@pytest.fixture
def shelf(book_factory: BookFactory) -> Shelf:
    """One empty shelf."""
    return book_factory()


@pytest.fixture
def postgres_shelf(postgres_dsn: str) -> Iterator[PostgresShelf]:
    """One empty shelf on PostgreSQL, for what only several nodes can do."""
    shelf = PostgresShelf(postgres_dsn, schema_name(next(_numbers)))
    yield shelf
    shelf.close()


def schema_name(number: int) -> str:
    """A schema that no other test, worker or run uses."""
    return f"shelf_{os.getpid()}_{number}"

"""The shelves that the contract suite runs against: one for each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.shelves import Shelf, SQLiteShelf

BookFactory = Callable[[], Shelf]


@pytest.fixture(params=["sqlite"])
def book_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BookFactory]:
    """Gives empty shelves, each with a database of its own, and puts them away afterwards."""
    kinds = {"sqlite": SQLiteShelf}
    with ExitStack() as opened:
        made: list[Shelf] = []

        def make() -> Shelf:
            shelf = kinds[request.param](tmp_path / f"shelf-{len(made)}")
            made.append(shelf)
            opened.callback(shelf.close)
            return shelf

        yield make


@pytest.fixture
def shelf(book_factory: BookFactory) -> Shelf:
    """One empty shelf."""
    return book_factory()

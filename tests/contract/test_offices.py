"""Offices among nodes: one holds, the others stand by, and who is silent loses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from api.demo.waiting import wait_for
from ledger.store.leader_lock import OnlyNode
from ledger.store.postgres.leader_lock import PostgresOffice
from tests.contract.shelves import PostgresShelf

PATIENCE_SECONDS = 60.0


@pytest.fixture
def offices(postgres_shelf: PostgresShelf) -> Iterator[list[PostgresOffice]]:
    with ExitStack() as closing:
        books = [postgres_shelf.another_book() for _ in range(2)]
        found = [PostgresOffice(book.server, "courier") for book in books]
        for office, book in zip(found, books, strict=True):
            closing.callback(book.close)
            closing.callback(office.close)
        yield found


def test_one_node_holds_an_office_until_it_gives_it_up(offices: list[PostgresOffice]) -> None:
    one, other = offices

    assert [one.is_held(), other.is_held(), one.is_held()] == [True, False, True]
    one.close()

    assert other.is_held()
    assert not one.is_held()


def test_offices_of_other_names_and_ledgers_are_other_offices(
    offices: list[PostgresOffice], postgres_shelf: PostgresShelf
) -> None:
    held = [offices[0].is_held()]
    book = postgres_shelf.another_book()
    another = PostgresOffice(book.server, "copies")

    held.append(another.is_held())

    assert held == [True, True]
    another.close()
    book.close()


def test_a_node_that_falls_silent_loses_its_office_and_is_told_so_once(
    offices: list[PostgresOffice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.store.postgres.leader_lock.SILENT_SECONDS", 1)
    silent, other = offices
    assert silent.is_held()
    monkeypatch.setattr("ledger.store.postgres.leader_lock.SILENT_SECONDS", 600)

    wait_for("The other node's turn", other.is_held, seconds=PATIENCE_SECONDS)

    assert not silent.is_held()
    other.close()
    assert silent.is_held()


def test_who_lost_an_office_for_a_moment_is_told_even_if_nobody_took_it(
    offices: list[PostgresOffice], postgres_shelf: PostgresShelf
) -> None:
    office, _ = offices
    assert office.is_held()
    assert office.connection is not None
    pid = office.connection.info.backend_pid

    postgres_shelf.meddle("SELECT pg_terminate_backend(?)", [pid])
    wait_for("The end of the session", lambda: not office.is_held(), seconds=PATIENCE_SECONDS)

    assert office.is_held()


def test_the_only_node_holds_every_office() -> None:
    assert OnlyNode().is_held()

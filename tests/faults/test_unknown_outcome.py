"""A commit whose answer was lost while nobody could look is neither repeated nor forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.application.snapshots import freeze
from ledger.errors import NameTaken, OutcomeUnknown, Unavailable
from ledger.store.event_store import AppendUnknown, Book
from ledger.store.mapper import EventMapper
from ledger.store.records import Group, GroupOutcome
from tests.contract.shelves import PostgresShelf
from tests.support.builders import ManualClock, SeededChance, a_spec, open_ledger


class Blind:
    """A book that commits, loses the answer, and cannot be read for so many looks after it."""

    def __init__(self, book: Book, looks: int) -> None:
        self._book = book
        self._looks = looks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)

    def append(
        self, groups: Sequence[Group], mapper: EventMapper, *, now: int
    ) -> list[GroupOutcome]:
        outcomes = self._book.append(groups, mapper, now=now)
        if self._looks:
            raise AppendUnknown("the answer was lost", outcomes if self._book.is_shared else None)
        return outcomes

    def command_at(self, stream: UUID, version: int) -> bytes | None:
        if self._looks:
            self._looks -= 1
            raise Unavailable("the book cannot be read")
        return self._book.command_at(stream, version)


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """A ledger on each store; whoever uses it closes it."""
    if request.param == "sqlite":
        return open_ledger(tmp_path)
    shelf: PostgresShelf = request.getfixturevalue("postgres_shelf")
    return Ledger.open(shelf.address, clock=ManualClock(), chance=SeededChance(0))


@pytest.mark.parametrize("looks", [1, 2, 5])
def test_a_commit_that_nobody_could_look_up_is_not_made_twice(opened: Ledger, looks: int) -> None:
    with opened as ledger:
        ledger.writer.book = Blind(ledger.book, looks)
        with pytest.raises(OutcomeUnknown):
            ledger.schedule(a_spec())

        with pytest.raises(NameTaken):
            ledger.schedule(a_spec())

        assert [row.topic for row in ledger.book.rows()] == ["job.scheduled", "name.reserved"]
        (head,) = ledger.heads.snapshot()
        assert freeze(head) == freeze(ledger.fold(head.id))
        assert ledger.writer.position == 2


def test_a_commit_whose_answer_was_lost_is_answered_truly_when_it_can_be_looked_up(
    opened: Ledger,
) -> None:
    """The look-up finds it: nobody has to be told of the trouble."""
    with opened as ledger:
        ledger.writer.book = Lost(ledger.book)

        answer = ledger.schedule(a_spec())

        assert (answer.changed, answer.position) == (True, 2)
        assert [row.topic for row in ledger.book.rows()] == ["job.scheduled", "name.reserved"]


class Lost:
    """A book whose commits are made and never answered."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)

    def append(
        self, groups: Sequence[Group], mapper: EventMapper, *, now: int
    ) -> list[GroupOutcome]:
        outcomes = self._book.append(groups, mapper, now=now)
        raise AppendUnknown("the answer was lost", outcomes if self._book.is_shared else None)

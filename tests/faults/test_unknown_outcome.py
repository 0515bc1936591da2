"""A commit whose answer was lost while the store could not be read is neither repeated nor lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.application.snapshots import dump_job
from ledger.errors import NameTaken, OutcomeUnknown, Unavailable
from ledger.store.event_store import AppendUnknown, EventStore
from ledger.store.mapper import EventMapper
from ledger.store.records import AppendOutcome, EventBatch
from tests.contract.stores import PostgresStoreHarness
from tests.support.builders import ManualClock, SeededChance, a_spec, open_ledger


class Lost:
    """A store whose commits are made and never answered."""

    def __init__(self, event_store: EventStore) -> None:
        self._event_store = event_store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event_store, name)

    def append(
        self, batches: Sequence[EventBatch], mapper: EventMapper, *, now: int
    ) -> list[AppendOutcome]:
        outcomes = self._event_store.append(batches, mapper, now=now)
        known = outcomes if self._event_store.is_shared else None
        raise AppendUnknown("the answer was lost", known)


class Blind(Lost):
    """A store that loses an answer and cannot be read for so many attempts after it."""

    def __init__(self, event_store: EventStore, looks: int) -> None:
        super().__init__(event_store)
        self._looks = looks

    def append(
        self, batches: Sequence[EventBatch], mapper: EventMapper, *, now: int
    ) -> list[AppendOutcome]:
        if self._looks:
            return super().append(batches, mapper, now=now)
        return self._event_store.append(batches, mapper, now=now)

    def command_at(self, stream: UUID, version: int) -> bytes | None:
        if self._looks:
            self._looks -= 1
            raise Unavailable("the store cannot be read")
        return self._event_store.command_at(stream, version)


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """A ledger on each store; the caller closes it."""
    if request.param == "sqlite":
        return open_ledger(tmp_path)
    harness: PostgresStoreHarness = request.getfixturevalue("postgres_harness")
    return Ledger.open(harness.address, clock=ManualClock(), chance=SeededChance(0))


@pytest.mark.parametrize("looks", [1, 2, 5])
def test_a_commit_that_could_not_be_looked_up_is_not_made_twice(opened: Ledger, looks: int) -> None:
    with opened as ledger:
        ledger.writer.event_store = Blind(ledger.event_store, looks)
        with pytest.raises(OutcomeUnknown):
            ledger.schedule(a_spec())

        with pytest.raises(NameTaken):
            ledger.schedule(a_spec())

        assert [row.topic for row in ledger.event_store.rows()] == [
            "job.scheduled",
            "name.reserved",
        ]
        (cached,) = ledger.job_cache.snapshot()
        assert dump_job(cached) == dump_job(ledger.fold(cached.id))
        assert ledger.writer.position == 2


def test_a_commit_whose_answer_was_lost_is_answered_truthfully_when_it_can_be_looked_up(
    opened: Ledger,
) -> None:
    """The look-up finds it, so the caller sees no error."""
    with opened as ledger:
        ledger.writer.event_store = Lost(ledger.event_store)

        answer = ledger.schedule(a_spec())

        assert (answer.changed, answer.position) == (True, 2)
        assert [row.topic for row in ledger.event_store.rows()] == [
            "job.scheduled",
            "name.reserved",
        ]

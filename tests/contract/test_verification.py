"""How verification reads: page by page, with no more than a page in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ledger.domain.job.job import Job
from ledger.maintenance.verify import PAGE, verify_event_store
from ledger.store.event_store import EventStore
from tests.contract.stores import StoreHarness, append_decided
from tests.support.builders import NOON, a_context, a_job


class Watched:
    """An event store that records how many texts are read at a time."""

    def __init__(self, event_store: EventStore) -> None:
        self._event_store = event_store
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event_store, name)

    def salted_texts(self, ids: Sequence[str]) -> Mapping[str, tuple[bytes, bytes]]:
        self.asked.append(len(ids))
        return self._event_store.salted_texts(ids)


def fill(harness: StoreHarness, count: int) -> Job:
    """A job with `count` events, each with one text."""
    job = a_job()
    describe(job, count - 1)
    append_decided(harness, job)
    return job


def describe(job: Job, count: int) -> None:
    for number in range(count):
        job.amend({"tags": [f"{job.version} {number}"]}, a_context(NOON, reason="words"))


def test_only_the_texts_of_one_page_are_in_memory_at_a_time(harness: StoreHarness) -> None:
    fill(harness, 3 * PAGE)
    event_store = Watched(harness.event_store)

    verdict = verify_event_store(event_store)

    assert (verdict.is_sound, verdict.verified) == (True, 3 * PAGE)
    assert sum(event_store.asked) == 3 * PAGE
    assert max(event_store.asked) == PAGE


def test_a_store_that_grows_during_verification_verifies(harness: StoreHarness) -> None:
    job = fill(harness, 3 * PAGE)
    progress: list[tuple[int, int]] = []

    def grow(done: int, total: int) -> None:
        progress.append((done, total))
        if len(progress) == 1:
            describe(job, PAGE)
            append_decided(harness, job)

    verdict = verify_event_store(harness.event_store, grow)

    assert verdict.is_sound
    assert progress[0] == (PAGE, 3 * PAGE)
    assert verdict.verified == 4 * PAGE


@pytest.fixture
def untyped(harness: StoreHarness) -> StoreHarness:
    """An unprotected store, on a database where a text may be what cannot be read as text."""
    if harness.is_typed:
        pytest.skip("SQLite only: elsewhere no such text is kept")
    harness.drop_protection()
    return harness


UNREADABLE = "UPDATE events SET actor = CAST(x'ff' AS TEXT) WHERE position = ?"


def test_the_rows_before_an_unreadable_one_are_verified(untyped: StoreHarness) -> None:
    fill(untyped, PAGE + 9)
    before = verify_event_store(untyped.event_store)
    untyped.execute_directly(UNREADABLE, (PAGE + 5,))

    verdict = verify_event_store(untyped.event_store)

    assert before.is_sound
    assert verdict.finding is not None
    assert (verdict.verified, verdict.finding.position) == (PAGE + 4, PAGE + 5)
    assert verdict.finding.problem.startswith("it cannot be read (")


def test_a_changed_text_before_an_unreadable_row_is_the_one_that_is_named(
    untyped: StoreHarness,
) -> None:
    fill(untyped, 9)
    third = "(SELECT state ->> '$.reason[0]' FROM events WHERE position = 3)"
    untyped.execute_directly(f"UPDATE texts SET body = x'00' WHERE id = {third}")
    untyped.execute_directly(UNREADABLE, (5,))

    finding = verify_event_store(untyped.event_store).finding

    assert finding is not None
    assert (finding.position, finding.problem) == (3, "one of its texts was changed")


def test_a_missing_text_is_found_at_the_event_that_names_it(harness: StoreHarness) -> None:
    fill(harness, 9)
    harness.execute_directly("DELETE FROM texts")

    finding = verify_event_store(harness.event_store).finding

    assert finding is not None
    assert (finding.position, finding.problem.split(",")[0]) == (1, "one of its texts is missing")

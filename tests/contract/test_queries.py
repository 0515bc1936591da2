"""The contract of the store's queries: pages, filters, both orders, cursors, instants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import orjson
import pytest

from ledger.domain.event_context import Actor, EventContext
from ledger.store.audit_query import AuditQuery, Order
from ledger.store.records import StoredEvent
from tests.contract.stores import NOW, StoreHarness, append, append_decided, batch_of
from tests.support.builders import NOON, a_job, an_id, failed, running, succeeded

ACTORS = [Actor("olga", "user"), Actor("phantom", "agent"), Actor("dispatcher", "system")]
SOURCES = ["http", "mcp", "dispatcher"]
CORRELATIONS = ["c-1", None, "c-2", "c-3"]
SECOND = 1_000_000


def origin(number: int) -> EventContext:
    return EventContext(
        NOON, f"command-{number}", ACTORS[number % 3], SOURCES[number % 3], CORRELATIONS[number % 4]
    )


@pytest.fixture
def full(harness: StoreHarness) -> StoreHarness:
    """A store with 24 jobs that were edited, of which some ran: 130 events and more."""
    for number in range(24):
        job = a_job(number=number + 1)
        for step in range(number % 5):
            job.amend({"tags": [f"t{step}"]}, origin(number + step))
        if number % 2:
            running()(job)
            (succeeded() if number % 3 else failed(failure_class="timeout"))(job)
        append_decided(harness, job, now=NOW + number * SECOND)
    return harness


def everything(harness: StoreHarness) -> list[StoredEvent]:
    return harness.event_store.read(after=0, limit=10_000)


def state(item: StoredEvent) -> dict[str, Any]:
    decoded: dict[str, Any] = orjson.loads(item.state)
    return decoded


def positions(items: list[StoredEvent]) -> list[int]:
    return [item.id for item in items]


# -- read and stream ----------------------------------------------------------------------------


def test_all_pages_together_are_all_events(full: StoreHarness) -> None:
    pages, after = [], 0

    while page := full.event_store.read(after=after, limit=7):
        pages += page
        after = page[-1].id

    assert pages == everything(full)
    assert positions(pages) == list(range(1, full.event_store.tail_position() + 1))


def test_reading_past_the_end_gives_nothing(full: StoreHarness) -> None:
    assert full.event_store.read(after=full.event_store.tail_position(), limit=5) == []


def test_a_stream_is_read_in_order_between_two_versions(full: StoreHarness) -> None:
    whole = full.event_store.stream(an_id(10), after=0, upto=None, limit=99)

    part = full.event_store.stream(an_id(10), after=1, upto=4, limit=99)

    assert [item.originator_version for item in whole] == list(range(1, 8))
    assert part == whole[1:4]
    assert full.event_store.stream(an_id(10), after=0, upto=None, limit=2) == whole[:2]


def test_an_unknown_stream_is_empty(full: StoreHarness) -> None:
    assert full.event_store.stream(an_id(999), after=0, upto=None, limit=9) == []


def test_the_tail_is_the_last_event(full: StoreHarness) -> None:
    last = everything(full)[-1]

    tail = full.event_store.tail()

    assert (tail.position, tail.chain, tail.recorded_at) == (last.id, last.chain, last.recorded_at)


def test_rows_have_every_column_and_begin_after_a_position(full: StoreHarness) -> None:
    rows = list(full.event_store.rows())

    assert [row.position for row in rows] == positions(everything(full))
    assert [row.state for row in rows] == [item.state for item in everything(full)]
    assert list(full.event_store.rows(after=17)) == rows[17:]


# -- filters ------------------------------------------------------------------------------------

Match = Callable[[StoredEvent], bool]
FILTERS: dict[str, tuple[dict[str, Any], Match]] = {
    "nothing": ({}, lambda _: True),
    "actor": ({"actor": "olga"}, lambda item: state(item)["actor"]["id"] == "olga"),
    "an actor that is the dispatcher": (
        {"actor": "dispatcher"},
        lambda item: state(item)["actor"]["id"] == "dispatcher",
    ),
    "nobody": ({"actor": "nobody"}, lambda _: False),
    "kind": ({"kind": "agent"}, lambda item: state(item)["actor"]["kind"] == "agent"),
    "source": ({"source": "mcp"}, lambda item: state(item)["source"] == "mcp"),
    "one topic": ({"topics": ("job.amended",)}, lambda item: item.topic == "job.amended"),
    "two topics": (
        {"topics": ("job.run_failed", "job.amended", "job.amended")},
        lambda item: item.topic in ("job.run_failed", "job.amended"),
    ),
    "topics that have no index": (
        {"topics": ("job.run_started", "job.scheduled")},
        lambda item: item.topic in ("job.run_started", "job.scheduled"),
    ),
    "a topic that nobody knows": ({"topics": ("job.eaten",)}, lambda _: False),
    "stream": ({"stream": an_id(10)}, lambda item: item.originator_id == an_id(10)),
    "correlation": (
        {"correlation_id": "c-2"},
        lambda item: state(item)["correlation_id"] == "c-2" and state(item)["source"] != SOURCES[2],
    ),
    "failure class": (
        {"failure_class": "timeout"},
        lambda item: state(item).get("failure_class") == "timeout",
    ),
    "after": ({"after_position": 20}, lambda item: item.id > 20),
    "until": ({"until_position": 20}, lambda item: item.id <= 20),
    "between": ({"after_position": 5, "until_position": 60}, lambda item: 5 < item.id <= 60),
    "several together": (
        {"actor": "phantom", "topics": ("job.amended",), "after_position": 10},
        lambda item: (
            item.id > 10 and item.topic == "job.amended" and state(item)["actor"]["id"] == "phantom"
        ),
    ),
}


def found_by(harness: StoreHarness, query: AuditQuery) -> Iterator[StoredEvent]:
    """Every event that is found, page by page."""
    while page := harness.event_store.find(query):
        yield from page
        query = query.following(page[-1].id)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_exactly_what_it_names_page_by_page(
    full: StoreHarness, name: str, order: Order
) -> None:
    given, matches = FILTERS[name]
    expected = [item for item in everything(full) if matches(item)]

    found = [*found_by(full, AuditQuery(**given, order=order, limit=3))]

    assert found == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_two_filters_find_what_both_name(full: StoreHarness, order: Order) -> None:
    everywhere = everything(full)
    for first, second in combinations(FILTERS, 2):
        given, other = FILTERS[first][0], FILTERS[second][0]
        if given.keys() & other.keys():
            continue
        expected = [
            item for item in everywhere if FILTERS[first][1](item) and FILTERS[second][1](item)
        ]

        found = [*found_by(full, AuditQuery(**given, **other, order=order, limit=4))]

        assert found == (expected if order == "asc" else expected[::-1]), f"{first}, {second}"


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("name", ["nothing", "two topics", "actor", "stream"])
def test_pages_miss_nothing_and_repeat_nothing_while_events_arrive(
    full: StoreHarness, name: str, order: Order
) -> None:
    given, matches = FILTERS[name]
    before = [item for item in everything(full) if matches(item)]

    found: list[StoredEvent] = []
    for event in found_by(full, AuditQuery(**given, order=order, limit=3)):
        found.append(event)
        number = 100 + len(found) // 3
        if len(found) % 3 == 0 and number <= 110:
            job = a_job(number=number)
            job.amend({"tags": ["late"]}, origin(number))
            append_decided(full, job, now=NOW + number * SECOND)

    after = [item for item in everything(full) if matches(item)]
    assert found == (after if order == "asc" else before[::-1])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_cursor_may_be_the_position_of_any_event(full: StoreHarness, order: Order) -> None:
    whole = full.event_store.stream(an_id(10), after=0, upto=None, limit=99)
    for cursor in range(full.event_store.tail_position() + 2):
        query = AuditQuery(stream=an_id(10), order=order, cursor=cursor, limit=99)
        beyond = [item for item in whole if (item.id > cursor) == (order == "asc")]
        expected = [item for item in beyond if item.id != cursor]
        assert full.event_store.find(query) == (expected if order == "asc" else expected[::-1])


def test_every_filter_but_the_empty_ones_finds_something_and_leaves_something_out(
    full: StoreHarness,
) -> None:
    all_of_them = everything(full)
    counts = {
        name: sum(matches(item) for item in all_of_them) for name, (_, matches) in FILTERS.items()
    }

    empty = {name for name, count in counts.items() if count == 0}
    whole = {name for name, count in counts.items() if count == len(all_of_them)}
    assert empty == {"nobody", "a topic that nobody knows"}
    assert whole == {"nothing"}


def test_every_filter_of_a_query_is_tried_here() -> None:
    tried = {key for given, _ in FILTERS.values() for key in given}

    fields = set(AuditQuery.__dataclass_fields__)
    assert tried == fields - {"order", "cursor", "limit"}


# -- instants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [-1, 0, 1, SECOND - 1, SECOND, 7 * SECOND + 5, 10**9 * SECOND])
def test_the_position_at_an_instant_is_the_last_one_recorded_by_then(
    full: StoreHarness, offset: int
) -> None:
    expected = [item.id for item in everything(full) if item.recorded_at <= NOW + offset]

    assert full.event_store.position_at(NOW + offset) == max(expected, default=0)


def test_an_empty_store_has_position_0_at_any_instant(harness: StoreHarness) -> None:
    assert harness.event_store.position_at(NOW) == 0


def test_batches_of_one_append_share_their_instant(harness: StoreHarness) -> None:
    append(harness, *(batch_of(harness, a_job(number=n)) for n in range(1, 6)))

    assert harness.event_store.position_at(NOW) == 5
    assert harness.event_store.position_at(NOW - 1) == 0


def test_topics_are_counted_between_two_positions(full: StoreHarness) -> None:
    recorded = full.event_store.read(after=10, limit=50)

    counts = full.event_store.topic_counts(after=10, upto=60)

    assert counts == Counter(item.topic for item in recorded)
    assert full.event_store.topic_counts(after=60, upto=60) == {}

"""Storms: the read model compared with a slow, obvious recomputation, over seeded histories; and
what queries show of one.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest
from pytest import raises

from ledger.clock import from_microseconds
from ledger.errors import NotFound
from ledger.store.records import RecordedEvent
from projections.models.jobs import model as jobs
from projections.models.storms import members as storm_members
from projections.models.storms import model as storms
from projections.models.storms import queries as storm_queries
from projections.stores.rows import NO_VALUES, Row
from tests.oracles import storms as storm_oracle
from tests.oracles.storms import MINUTE
from tests.support.builders import an_id

START = 1_772_452_800_000_000
SECOND, HOUR = MINUTE // 60, 60 * MINUTE
STEPS = (0, 0, SECOND, 20 * SECOND, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 10 * MINUTE + 1)
PAUSES = (60 * MINUTE, 70 * MINUTE - 1, 70 * MINUTE, 71 * MINUTE)
OTHERS = ("job.run_succeeded", "job.paused", "job.circuit_tripped", "job.deleted", "job.resumed")
SIGNATURES = ("rate_limited api", "timeout db")


class Tables:
    """The model's tables in memory, as a `RowReader`."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        for model in (jobs, storms):
            self._connection.executescript(model.SCHEMA.replace("{g}", ""))

    def apply(self, events: Sequence[RecordedEvent]) -> Tables:
        for event in events:
            for sql, values in storms.project(event):
                self._connection.execute(sql.replace("{g}", ""), values)
        return self

    def rows(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> list[Row]:
        cursor = self._connection.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> Row | None:
        return next(iter(self.rows(sql, values)), None)


class EventSequence:
    """A history, built event by event."""

    def __init__(self) -> None:
        self.at = START
        self.events: list[RecordedEvent] = []
        self._versions: Counter[int] = Counter()

    def add(
        self, topic: str, job: int, signature: str = SIGNATURES[0], *, after: int = 0
    ) -> EventSequence:
        self.at += after
        data = {"signature": signature, "failure_class": signature.split()[0]}
        self._versions[job] += 1
        position = len(self.events) + 1
        self.events.append(
            RecordedEvent(position, topic, an_id(job), self._versions[job], self.at, data)
        )
        return self

    def fails(
        self, *job_numbers: int, after: int = 0, signature: str = SIGNATURES[0]
    ) -> EventSequence:
        for job in job_numbers:
            self.add("job.run_failed", job, signature, after=after)
        return self

    def succeeds(self, *job_numbers: int, after: int = 0) -> EventSequence:
        for job in job_numbers:
            self.add("job.run_succeeded", job, after=after)
        return self

    def shown(self, *, later: int = 0) -> list[dict[str, Any]]:
        """The storms that a query shows, some time after the last event."""
        now = from_microseconds(self.at + later)
        page, _ = storm_queries.find(Tables().apply(self.events), now=now, limit=1000)
        return page


def a_random_sequence(random: Random) -> EventSequence:
    """Some jobs that fail in bursts, with two signatures."""
    sequence = EventSequence()
    count = random.choice([3, 4, 8])
    failing = random.choice([0.3, 0.5, 0.8])
    steps = random.choice([STEPS, STEPS[:5], STEPS[:4]])
    for _ in range(random.choice([20, 60, 120])):
        sequence.at += random.choice(PAUSES if random.random() < 0.08 else steps)
        topic = "job.run_failed" if random.random() < failing else random.choice(OTHERS)
        sequence.add(topic, random.randrange(count), random.choice(SIGNATURES))
    return sequence


# -- against the oracle ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(300))
def test_storms_equal_the_recomputation(seed: int) -> None:
    sequence = a_random_sequence(Random(seed))
    now = sequence.at + Random(seed).choice([0, MINUTE, 69 * MINUTE, 80 * MINUTE])

    expected = storm_oracle.storms_of(sequence.events)

    assert sequence.shown(later=now - sequence.at) == [
        expected_view(storm, sequence.events, now) for storm in reversed(expected)
    ]


def expected_view(
    storm: storm_oracle.Storm, events: Sequence[RecordedEvent], now: int
) -> dict[str, Any]:
    ended_at = storm_oracle.over_at(storm, events, now)
    return {
        "id": storm.id,
        "is_open": ended_at is None,
        "signature": storm.signature,
        "failure_class": storm.signature.split()[0],
        "first_failed_at": instant(storm.failures[0].recorded_at),
        "opened_at": instant(storm.opened.recorded_at),
        "opened_position": storm.opened.position,
        "last_failed_at": instant(storm.last.recorded_at),
        "over_at": instant(ended_at),
        "failure_count": len(storm.failures),
        "trip_count": storm_oracle.trips_of(storm, events),
        "job_count": len({failure.stream for failure in storm.failures}),
        "remaining_count": len(storm_oracle.present(storm, events)),
        "jobs_by_status": {},
    }


def instant(at: int | None) -> str | None:
    if at is None:
        return None
    return from_microseconds(at).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("seed", range(0, 300, 3))
def test_jobs_and_course_of_each_storm_equal_the_recomputation(seed: int) -> None:
    sequence = a_random_sequence(Random(seed))
    tables, now = Tables().apply(sequence.events), from_microseconds(sequence.at)

    for storm in storm_oracle.storms_of(sequence.events):
        shown = storm_queries.one(tables, storm.id, now=now)
        members = storm_oracle.members(storm, sequence.events)
        jobs = [{key: job[key] for key in members[0]} for job in shown["jobs"]]
        assert jobs == [with_instants(member) for member in members]
        assert shown["per_minute"] == [with_instants(one) for one in storm_oracle.per_minute(storm)]
        assert sum(job["trip_count"] for job in shown["jobs"]) == shown["trip_count"]


def with_instants(found: Mapping[str, Any]) -> dict[str, Any]:
    is_time = re.compile(".*_at|minute").fullmatch
    return {key: instant(value) if is_time(key) else value for key, value in found.items()}


@pytest.mark.parametrize("seed", range(40))
def test_a_failure_belongs_to_a_storm_once_that_has_opened(seed: int) -> None:
    sequence = a_random_sequence(Random(2000 + seed))
    tables = Tables().apply(sequence.events)
    failures = [event.position for event in sequence.events if event.topic == "job.run_failed"]
    opened = {
        failure.position: (storm.id, storm.opened.position)
        for storm in storm_oracle.storms_of(sequence.events)
        for failure in storm.failures
    }

    for position in failures:
        storm_id, opened_position = opened.get(position, (None, 0))
        for as_of in (position, opened_position - 1, opened_position, len(sequence.events)):
            shown = storm_queries.of_failure(tables, position, as_of=as_of)
            assert shown == (storm_id if as_of >= opened_position else None)


@pytest.mark.parametrize("seed", range(60))
def test_the_storms_at_every_position_equal_the_recomputation(seed: int) -> None:
    """The rows after each event follow from the events up to it."""
    sequence = a_random_sequence(Random(1000 + seed))
    tables = Tables()

    for upto, event in enumerate(sequence.events, start=1):
        tables.apply([event])
        known = storm_oracle.storms_of(sequence.events[:upto])
        page, _ = storm_queries.find(tables, now=from_microseconds(event.recorded_at), limit=1000)
        open_now = [
            one.id
            for one in known
            if storm_oracle.is_open(one, sequence.events[:upto], event.recorded_at)
        ]
        assert [one["id"] for one in page] == [one.id for one in reversed(known)]
        assert [one["id"] for one in page if one["is_open"]] == open_now[::-1]
        assert storm_queries.open_count(tables, now=from_microseconds(event.recorded_at)) == len(
            open_now
        )


def test_the_random_histories_have_every_kind_of_storm() -> None:
    """Otherwise the tests above would prove nothing."""
    kinds: Counter[str] = Counter()
    for seed in range(300):
        sequence = a_random_sequence(Random(seed))
        for storm in storm_oracle.storms_of(sequence.events):
            end = storm_oracle.over_at(storm, sequence.events, sequence.at)
            silent_at = storm.last.recorded_at + 70 * MINUTE
            kinds["open" if end is None else "silent" if end == silent_at else "thinned"] += 1
            kinds["continued"] += bool(storm.returns)
            kinds["trips"] += storm_oracle.trips_of(storm, sequence.events) > 0

    print(dict(kinds))
    assert min(kinds[kind] for kind in ("open", "silent", "thinned", "continued", "trips")) >= 20


# -- the rules, one by one ------------------------------------------------------------------------


def three() -> EventSequence:
    return EventSequence().fails(1, 2, 3)


def far_apart() -> EventSequence:
    sequence = three()
    for _ in range(5):
        sequence.fails(4, after=69 * MINUTE)
    return sequence


def tripped_one_after_another() -> EventSequence:
    sequence = EventSequence()
    for job in range(1, 39):
        sequence.fails(job, after=10 * SECOND).add("job.circuit_tripped", job)
    return sequence


OTHER = SIGNATURES[1]
Shown = tuple[str, int, int, int, int | None]
RULES: dict[str, tuple[EventSequence, int, list[Shown]]] = {
    "two jobs": (EventSequence().fails(1, 2, 1, 2), 0, []),
    "a third job opens it with all their failures": (
        EventSequence().fails(1, 2, 1, 2, 3), 0, [("S-1", 5, 3, 0, None)],
    ),
    "within ten minutes": (
        EventSequence().fails(1).fails(2, 3, after=5 * MINUTE), 0, [("S-1", 3, 3, 0, None)],
    ),
    "a moment later": (
        EventSequence().fails(1).fails(2, after=5 * MINUTE).fails(3, after=5 * MINUTE + 1), 0, [],
    ),
    "two jobs of each signature": (
        EventSequence().fails(1, 2).fails(3, 4, signature=OTHER), 0, [],
    ),
    "three jobs of each signature": (
        EventSequence().fails(1, 2).fails(3, 4, 5, signature=OTHER).fails(5), 0,
        [("S-3", 3, 3, 0, None), ("S-1", 3, 3, 0, None)],
    ),
    "an open one takes every failure however far apart": (
        far_apart(), 0, [("S-1", 8, 4, 0, None)],
    ),
    "just before the silence": (three(), 70 * MINUTE - 1, [("S-1", 3, 3, 0, None)]),
    "over by silence": (three(), 70 * MINUTE, [("S-1", 3, 3, 0, 70 * MINUTE)]),
    "successes after the silence": (
        three().succeeds(1, 2, 3, after=100 * MINUTE), 0, [("S-1", 3, 3, 0, 70 * MINUTE)],
    ),
    "a failure after the silence": (
        three().fails(1, after=100 * MINUTE), 0, [("S-1", 3, 3, 0, 70 * MINUTE)],
    ),
    "jobs that trip one after another: none ever remains": (
        tripped_one_after_another(), 0, [("S-1", 38, 38, 38, 380 * SECOND)],
    ),
    "three failures ten minutes after the last one": (
        three().succeeds(1, 2, 3).fails(1, 2, 3, after=11 * MINUTE), 0, [("S-1", 3, 3, 0, 0)],
    ),
    "a new one ten minutes after the last one": (
        three().succeeds(1, 2, 3).fails(1, 2, 3, after=11 * MINUTE).fails(1, 2, after=MINUTE), 0,
        [("S-9", 3, 3, 0, None), ("S-1", 3, 3, 0, 0)],
    ),
}  # fmt: skip
"""Events, how long ago they were, and the storms: id, failures, jobs, trips, when each was over."""
for how in ("run_succeeded", "paused", "circuit_tripped", "deleted"):
    trips = int(how == "circuit_tripped")
    one_left = three().add(f"job.{how}", 1, after=MINUTE)
    two_left = three().add(f"job.{how}", 1, after=MINUTE).add(f"job.{how}", 2, after=MINUTE)
    RULES[f"one job left: {how}"] = one_left, 0, [("S-1", 3, 3, trips, None)]
    RULES[f"two jobs left: {how}"] = two_left, 0, [("S-1", 3, 3, 2 * trips, 2 * MINUTE)]


@pytest.mark.parametrize("rule", RULES)
def test_a_storm_opens_and_ends_by_the_rules(rule: str) -> None:
    sequence, later, storms = RULES[rule]

    shown = sequence.shown(later=later)

    names = ("id", "failure_count", "job_count", "trip_count", "over_at")
    assert [tuple(storm[name] for name in names) for storm in shown] == [
        (*rest, None if over is None else instant(START + over)) for *rest, over in storms
    ]
    assert [storm["is_open"] for storm in shown] == [over is None for *_, over in storms]


# -- one storm ------------------------------------------------------------------------------------


def test_one_storm_shows_its_jobs_and_its_course() -> None:
    sequence = EventSequence().fails(3).fails(1, after=30 * SECOND).fails(2, 1, after=MINUTE)
    sequence.add("job.circuit_tripped", 1, after=SECOND)

    now = from_microseconds(sequence.at)
    storm = storm_queries.one(Tables().apply(sequence.events), "S-1", now=now)

    assert storm["first_failure"] == {
        "position": 1,
        "job_id": str(an_id(3)),
        "job_name": None,
        "recorded_at": instant(START),
    }
    assert [(job["id"], job["failure_count"], job["left_by"]) for job in storm["jobs"]] == [
        (str(an_id(3)), 1, None),
        (str(an_id(1)), 2, "tripped"),
        (str(an_id(2)), 1, None),
    ]
    minutes = [(one["minute"], one["failure_count"]) for one in storm["per_minute"]]
    assert minutes == [
        (instant(START), 2),
        (instant(START + MINUTE), 1),
        (instant(START + 2 * MINUTE), 1),
    ]


def test_the_members_for_a_recovery_left_the_storm_by_a_trip() -> None:
    sequence = EventSequence().fails(1, 2, 3, 4, 5).succeeds(5).add("job.paused", 4, after=SECOND)
    sequence.add("job.circuit_tripped", 1, after=SECOND).add("job.deleted", 3)
    sequence.add("job.circuit_tripped", 2, after=SECOND)

    found = storm_members.members(Tables().apply(sequence.events), "S-1")

    assert found.trips == {an_id(1): {2}, an_id(2): {2}}


@pytest.mark.parametrize(
    "wanted", ["S-2", "S-0", "S-", "1", "S-1 ", "S-" + "9" * 40, "S-01", "s-1"]
)
def test_an_unknown_storm_is_not_found(wanted: str) -> None:
    tables = Tables().apply(EventSequence().fails(1, 2, 3).events)

    with raises(NotFound, match="There is no storm"):
        storm_queries.one(tables, wanted, now=from_microseconds(START))


def test_storms_are_paged() -> None:
    sequence = EventSequence()
    for _ in range(5):
        sequence.fails(1, 2, 3, after=SECOND).succeeds(1, 2, 3).add("job.resumed", 1, after=HOUR)
    tables, now = Tables().apply(sequence.events), from_microseconds(sequence.at)

    cursor, seen = None, []
    while True:
        page, cursor = storm_queries.find(tables, now=now, cursor=cursor, limit=2)
        seen += [storm["id"] for storm in page]
        if cursor is None:
            break

    assert seen == ["S-29", "S-22", "S-15", "S-8", "S-1"]


def test_the_cost_of_a_failure_does_not_grow_with_the_storm() -> None:
    """The work of one failure does not grow with the failures before it: counted in SQLite's
    steps, not in time.
    """
    costs = []
    for count in (200, 4_000):
        sequence = EventSequence()
        for number in range(count):
            sequence.fails(number % 40 + 1, after=SECOND)
        tables = Tables().apply(sequence.events)
        costs.append(steps_of(tables, sequence.fails(1, after=SECOND).events[-1]))

    assert costs[1] < 2 * costs[0]


def steps_of(tables: Tables, event: RecordedEvent) -> int:
    """How many steps of SQLite's machine an event costs."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = tables._connection
    connection.set_progress_handler(step, 1)
    tables.apply([event])
    connection.set_progress_handler(None, 0)
    return count


def test_the_model_uses_no_sql_of_one_database_only() -> None:
    text = " ".join(storms.FAILURE) + storms.LEAVE + storms.TRIP + storms.SCHEMA

    for word in ("WITHOUT ROWID", "INSERT OR", "AUTOINCREMENT", "IIF(", "::", "RETURNING"):
        assert word not in text

"""Storms: the read model against a slow, obvious recomputation, over seeded histories; and what an
operator is told of one.
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
from projections.models.storms import (
    members as storm_recovery,
)
from projections.models.storms import (
    model as storms,
)
from projections.models.storms import (
    queries as storm_questions,
)
from projections.stores.contract import NO_VALUES, Row
from tests.oracles import storms as storm_oracle
from tests.oracles.storms import MINUTE
from tests.support.builders import an_id

START = 1_772_452_800_000_000
SECOND, HOUR = MINUTE // 60, 60 * MINUTE
STEPS = (0, 0, SECOND, 20 * SECOND, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 10 * MINUTE + 1)
PAUSES = (60 * MINUTE, 70 * MINUTE - 1, 70 * MINUTE, 71 * MINUTE)
OTHERS = ("job.run_succeeded", "job.paused", "job.circuit_tripped", "job.deleted", "job.resumed")
SIGNATURES = ("rate_limited api", "timeout db")


class Memory:
    """The model's tables in memory, as `Questions`."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        for model in (jobs, storms):
            self._connection.executescript(model.SCHEMA.replace("{g}", ""))

    def take(self, facts: Sequence[RecordedEvent]) -> Memory:
        for fact in facts:
            for sql, values in storms.project(fact):
                self._connection.execute(sql.replace("{g}", ""), values)
        return self

    def rows(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> list[Row]:
        cursor = self._connection.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> Row | None:
        return next(iter(self.rows(sql, values)), None)


class Story:
    """A history told event by event."""

    def __init__(self) -> None:
        self.at = START
        self.facts: list[RecordedEvent] = []
        self._versions: Counter[int] = Counter()

    def happens(
        self, topic: str, job: int, signature: str = SIGNATURES[0], *, after: int = 0
    ) -> Story:
        self.at += after
        data = {"signature": signature, "failure_class": signature.split()[0]}
        self._versions[job] += 1
        place = len(self.facts) + 1
        self.facts.append(
            RecordedEvent(place, topic, an_id(job), self._versions[job], self.at, data)
        )
        return self

    def fails(self, *some: int, after: int = 0, signature: str = SIGNATURES[0]) -> Story:
        for job in some:
            self.happens("job.run_failed", job, signature, after=after)
        return self

    def succeeds(self, *some: int, after: int = 0) -> Story:
        for job in some:
            self.happens("job.run_succeeded", job, after=after)
        return self

    def told(self, *, later: int = 0) -> list[dict[str, Any]]:
        """What an operator is told, so much later."""
        now = from_microseconds(self.at + later)
        page, _ = storm_questions.find(Memory().take(self.facts), now=now, limit=1000)
        return page

    def only(self, *, later: int = 0) -> dict[str, Any]:
        [storm] = self.told(later=later)
        return storm


def a_random_story(random: Random) -> Story:
    """Some jobs that fail of two things, in fits."""
    story = Story()
    count = random.choice([3, 4, 8])
    failing = random.choice([0.3, 0.5, 0.8])
    steps = random.choice([STEPS, STEPS[:5], STEPS[:4]])
    for _ in range(random.choice([20, 60, 120])):
        story.at += random.choice(PAUSES if random.random() < 0.08 else steps)
        topic = "job.run_failed" if random.random() < failing else random.choice(OTHERS)
        story.happens(topic, random.randrange(count), random.choice(SIGNATURES))
    return story


# -- against the oracle -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(300))
def test_storms_are_what_a_slow_look_at_the_events_finds(seed: int) -> None:
    story = a_random_story(Random(seed))
    now = story.at + Random(seed).choice([0, MINUTE, 69 * MINUTE, 80 * MINUTE])

    expected = storm_oracle.storms_of(story.facts)

    assert story.told(later=now - story.at) == [
        as_told(storm, story.facts, now) for storm in reversed(expected)
    ]


def as_told(storm: storm_oracle.Storm, facts: Sequence[RecordedEvent], now: int) -> dict[str, Any]:
    ended_at = storm_oracle.over_at(storm, facts, now)
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
        "trip_count": storm_oracle.trips_of(storm, facts),
        "job_count": len({failure.stream for failure in storm.failures}),
        "remaining_count": len(storm_oracle.present(storm, facts)),
        "jobs_by_status": {},
    }


def instant(at: int | None) -> str | None:
    if at is None:
        return None
    return from_microseconds(at).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("seed", range(0, 300, 3))
def test_each_storm_has_the_jobs_and_the_course_that_a_slow_look_finds(seed: int) -> None:
    story = a_random_story(Random(seed))
    memory, now = Memory().take(story.facts), from_microseconds(story.at)

    for storm in storm_oracle.storms_of(story.facts):
        told = storm_questions.one(memory, storm.id, now=now)
        members = storm_oracle.members(storm, story.facts)
        jobs = [{key: job[key] for key in members[0]} for job in told["jobs"]]
        assert jobs == [with_instants(member) for member in members]
        assert told["per_minute"] == [with_instants(one) for one in storm_oracle.per_minute(storm)]
        assert sum(job["trip_count"] for job in told["jobs"]) == told["trip_count"]


def with_instants(found: Mapping[str, Any]) -> dict[str, Any]:
    is_time = re.compile(".*_at|minute").fullmatch
    return {key: instant(value) if is_time(key) else value for key, value in found.items()}


@pytest.mark.parametrize("seed", range(40))
def test_a_failure_is_of_a_storm_from_when_that_opened(seed: int) -> None:
    story = a_random_story(Random(2000 + seed))
    memory = Memory().take(story.facts)
    failures = [fact.position for fact in story.facts if fact.topic == "job.run_failed"]
    opened = {
        failure.position: (storm.id, storm.opened.position)
        for storm in storm_oracle.storms_of(story.facts)
        for failure in storm.failures
    }

    for position in failures:
        storm_id, opened_position = opened.get(position, (None, 0))
        for as_of in (position, opened_position - 1, opened_position, len(story.facts)):
            told = storm_questions.of_failure(memory, position, as_of=as_of)
            assert told == (storm_id if as_of >= opened_position else None)


@pytest.mark.parametrize("seed", range(60))
def test_a_storm_is_known_as_it_was_at_every_position(seed: int) -> None:
    """What is kept after each event is what the events up to there say, whoever asks when."""
    story = a_random_story(Random(1000 + seed))
    memory = Memory()

    for upto, fact in enumerate(story.facts, start=1):
        memory.take([fact])
        known = storm_oracle.storms_of(story.facts[:upto])
        page, _ = storm_questions.find(memory, now=from_microseconds(fact.recorded_at), limit=1000)
        open_now = [
            one.id
            for one in known
            if storm_oracle.is_open(one, story.facts[:upto], fact.recorded_at)
        ]
        assert [one["id"] for one in page] == [one.id for one in reversed(known)]
        assert [one["id"] for one in page if one["is_open"]] == open_now[::-1]
        assert storm_questions.open_count(memory, now=from_microseconds(fact.recorded_at)) == len(
            open_now
        )


def test_the_random_histories_have_every_kind_of_storm() -> None:
    """Or the tests above would show nothing."""
    kinds: Counter[str] = Counter()
    for seed in range(300):
        story = a_random_story(Random(seed))
        for storm in storm_oracle.storms_of(story.facts):
            end = storm_oracle.over_at(storm, story.facts, story.at)
            silent_at = storm.last.recorded_at + 70 * MINUTE
            kinds["open" if end is None else "silent" if end == silent_at else "thinned"] += 1
            kinds["came back"] += bool(storm.returns)
            kinds["trips"] += storm_oracle.trips_of(storm, story.facts) > 0

    print(dict(kinds))
    assert min(kinds[kind] for kind in ("open", "silent", "thinned", "came back", "trips")) >= 20


# -- the rules, one by one ----------------------------------------------------------------------


def test_two_jobs_are_no_storm_and_a_third_makes_one_of_them_all() -> None:
    story = Story().fails(1, 2, 1, 2)
    assert story.told() == []

    storm = story.fails(3).only()

    assert (storm["id"], storm["opened_position"], storm["failure_count"]) == ("S-1", 5, 5)
    assert storm["is_open"]


def test_three_jobs_in_ten_minutes_are_a_storm_and_in_more_are_none() -> None:
    assert len(Story().fails(1).fails(2, 3, after=5 * MINUTE).told()) == 1
    assert Story().fails(1).fails(2, after=5 * MINUTE).fails(3, after=5 * MINUTE + 1).told() == []


def test_different_signatures_are_different_storms() -> None:
    story = Story().fails(1, 2).fails(3, 4, signature=SIGNATURES[1])
    assert story.told() == []

    story.fails(5, signature=SIGNATURES[1]).fails(5)

    assert [storm["id"] for storm in story.told()] == ["S-3", "S-1"]


def test_an_open_storm_takes_every_failure_however_far_apart() -> None:
    story = Story().fails(1, 2, 3)
    for _ in range(5):
        story.fails(4, after=69 * MINUTE)

    storm = story.only()

    assert (storm["failure_count"], storm["job_count"], storm["is_open"]) == (8, 4, True)


def test_seventy_quiet_minutes_end_a_storm_at_their_end() -> None:
    story = Story().fails(1, 2, 3)

    assert story.only(later=70 * MINUTE - 1)["is_open"]
    over = story.only(later=70 * MINUTE)

    assert (over["is_open"], over["over_at"]) == (False, instant(START + 70 * MINUTE))
    assert story.succeeds(1, 2, 3, after=100 * MINUTE).only()["over_at"] == over["over_at"]
    assert story.fails(1).only()["over_at"] == over["over_at"]


@pytest.mark.parametrize("how", ["run_succeeded", "paused", "circuit_tripped", "deleted"])
def test_a_storm_is_over_when_fewer_than_two_jobs_are_left(how: str) -> None:
    story = Story().fails(1, 2, 3).happens(f"job.{how}", 1, after=MINUTE)
    assert story.only()["is_open"]

    storm = story.happens(f"job.{how}", 2, after=MINUTE).only()

    assert (storm["is_open"], storm["over_at"]) == (False, instant(START + 2 * MINUTE))
    assert (storm["remaining_count"], storm["trip_count"]) == (1, 2 * (how == "circuit_tripped"))


def test_jobs_that_trip_one_after_the_other_are_one_storm() -> None:
    """With a breaker of 1 nobody is ever left, and it is one storm all the same."""
    story = Story()
    for job in range(1, 39):
        story.fails(job, after=10 * SECOND).happens("job.circuit_tripped", job)

    storm = story.only()

    assert (storm["job_count"], storm["failure_count"], storm["trip_count"]) == (38, 38, 38)
    assert (storm["id"], storm["is_open"], storm["over_at"]) == ("S-1", False, instant(story.at))


def test_after_a_storm_ten_minutes_are_enough_for_a_new_one() -> None:
    story = Story().fails(1, 2, 3).succeeds(1, 2, 3)
    story.fails(1, 2, 3, after=11 * MINUTE)
    assert [storm["id"] for storm in story.told()] == ["S-1"]

    story.fails(1, 2, after=MINUTE)

    assert [storm["id"] for storm in story.told()] == ["S-9", "S-1"]


# -- one storm ----------------------------------------------------------------------------------


def test_one_storm_tells_its_jobs_and_its_course() -> None:
    story = Story().fails(3).fails(1, after=30 * SECOND).fails(2, 1, after=MINUTE)
    story.happens("job.circuit_tripped", 1, after=SECOND)

    now = from_microseconds(story.at)
    storm = storm_questions.one(Memory().take(story.facts), "S-1", now=now)

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


def test_who_left_a_storm_by_a_trip_is_who_a_recovery_may_bring_back() -> None:
    story = Story().fails(1, 2, 3, 4, 5).succeeds(5).happens("job.paused", 4, after=SECOND)
    story.happens("job.circuit_tripped", 1, after=SECOND).happens("job.deleted", 3)
    story.happens("job.circuit_tripped", 2, after=SECOND)

    found = storm_recovery.members(Memory().take(story.facts), "S-1")

    assert found.trips == {an_id(1): {2}, an_id(2): {2}}


@pytest.mark.parametrize(
    "wanted", ["S-2", "S-0", "S-", "1", "S-1 ", "S-" + "9" * 40, "S-01", "s-1"]
)
def test_a_storm_that_is_not_there_is_not_found(wanted: str) -> None:
    memory = Memory().take(Story().fails(1, 2, 3).facts)

    with raises(NotFound, match="There is no storm"):
        storm_questions.one(memory, wanted, now=from_microseconds(START))


def test_pages_of_storms_follow_each_other() -> None:
    story = Story()
    for _ in range(5):
        story.fails(1, 2, 3, after=SECOND).succeeds(1, 2, 3).happens("job.resumed", 1, after=HOUR)
    memory, now = Memory().take(story.facts), from_microseconds(story.at)

    cursor, seen = None, []
    while True:
        page, cursor = storm_questions.find(memory, now=now, cursor=cursor, limit=2)
        seen += [storm["id"] for storm in page]
        if cursor is None:
            break

    assert seen == ["S-29", "S-22", "S-15", "S-8", "S-1"]


def test_a_storm_costs_no_more_for_being_long() -> None:
    """The work of one failure does not grow with the failures before it: counted in SQLite's
    steps, not in time.
    """
    costs = []
    for count in (200, 4_000):
        story = Story()
        for number in range(count):
            story.fails(number % 40 + 1, after=SECOND)
        memory = Memory().take(story.facts)
        costs.append(steps_of(memory, story.fails(1, after=SECOND).facts[-1]))

    assert costs[1] < 2 * costs[0]


def steps_of(memory: Memory, fact: RecordedEvent) -> int:
    """How many steps of SQLite's machine an event costs."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = memory._connection
    connection.set_progress_handler(step, 1)
    memory.take([fact])
    connection.set_progress_handler(None, 0)
    return count


def test_the_model_has_no_words_of_one_database_only() -> None:
    text = " ".join(storms.FAILURE) + storms.LEAVE + storms.TRIP + storms.SCHEMA

    for word in ("WITHOUT ROWID", "INSERT OR", "AUTOINCREMENT", "IIF(", "::", "RETURNING"):
        assert word not in text

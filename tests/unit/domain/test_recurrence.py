"""Instants, intervals, missed slots, descriptions, and how much work a computation may take."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from random import Random
from time import perf_counter
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.schedule import recurrence
from ledger.domain.schedule.cron_grammar import parse_cron
from ledger.domain.schedule.cron_timetable import COUNTED_SLOTS
from ledger.domain.schedule.recurrence import (
    Missed,
    describe,
    fires,
    missed_fires,
    next_fire,
    planner,
    require_fires,
)
from ledger.domain.schedule.schedules import At, Cron, Every, Schedule
from ledger.errors import InvalidField, ScheduleInPast, ScheduleNeverFires
from tests.cron.oracle import random_crontab
from tests.support.builders import MINUTE

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)
SEED = 20_260_131

INSTANTS = st.datetimes(
    datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)
)  # seconds and microseconds too

# Expressions that make a naive search walk for years, or for ever.
BOMBS = [
    Cron("0 0 30 2 *"),
    Cron("0 0 31 4,6,9,11 *"),
    Cron("0 0 31 4,6,9,11 1"),
    Cron("0 0 29 2 *"),
    Cron("0 0 29 2 */7"),
    Cron("59 23 31 12 */5", "Pacific/Apia"),
    Cron("*/30 2 8-14 3 */7", "America/New_York"),
    Cron("30 2 8-14 3 */7", "America/New_York", "skip"),
    Cron("0-59 0-23 * * *", "Pacific/Kwajalein"),
    Cron(",".join(str(minute) for minute in range(0, 60)) + " * 1-31 1-12 *", "Europe/Berlin"),
]


# -- at -----------------------------------------------------------------------------------------


def test_an_instant_fires_once() -> None:
    once = At(NOON)

    assert next_fire(once, after=NOON - timedelta.resolution) == NOON
    assert next_fire(once, after=NOON) is None
    assert fires(once, after=NOON - MINUTE, count=5) == [NOON]


def test_an_instant_with_another_offset_answers_in_utc() -> None:
    at = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

    found = next_fire(At(at), after=NOON - MINUTE)

    assert found == NOON
    assert found is not None
    assert found.utcoffset() == timedelta(0)


# -- every --------------------------------------------------------------------------------------


@given(INSTANTS, st.integers(1_000, 10**9))
def test_an_interval_counts_from_the_instant_it_is_asked(after: datetime, step: int) -> None:
    found = next_fire(Every(step / 1000), after=after)

    assert found == after + timedelta(milliseconds=step)


@given(INSTANTS, st.integers(1_000, 10**9), INSTANTS)
def test_a_grid_fires_on_its_own_slots(after: datetime, step: int, anchor_at: datetime) -> None:
    grid = Every(step / 1000, "grid", anchor_at)
    stride = timedelta(milliseconds=step)

    found = next_fire(grid, after=after)

    assert found is not None
    assert found > after
    assert (found - anchor_at) % stride == timedelta(0)
    assert found - after <= stride or found == anchor_at


@pytest.mark.parametrize(
    ("anchor_at", "after", "expected"),
    [
        (NOON, NOON - timedelta(days=9), NOON),
        (NOON, NOON, NOON + MINUTE),
        (None, NOON, NOON + MINUTE),
    ],
)
def test_a_grid_begins_at_its_anchor_or_at_the_given_instant(
    anchor_at: datetime | None, after: datetime, expected: datetime
) -> None:
    assert next_fire(Every(60, "grid", anchor_at), after=after) == expected


# -- the edges of what can be asked -------------------------------------------------------------


@pytest.mark.parametrize("tz", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("expr", ["* * * * *", "0 0 1 1 *", "0 0 13 * 5"])
def test_beyond_the_last_year_there_is_no_fire_and_no_error(expr: str, tz: str) -> None:
    assert next_fire(Cron(expr, tz), after=END_OF_TIME) is None
    assert next_fire(Every(3600), after=END_OF_TIME) is None
    assert next_fire(Every(3600, "grid", NOON), after=END_OF_TIME) is None


@pytest.mark.parametrize("tz", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_fires_in_the_first_year_can_be_computed(tz: str) -> None:
    first = datetime.min.replace(tzinfo=UTC)

    found = next_fire(Cron("0 0 1 1 *", tz), after=first)

    assert found is not None
    assert found > first


def test_an_instant_without_an_offset_raises_value_error() -> None:
    with pytest.raises(ValueError, match="offset"):
        next_fire(Every(60), after=NOON.replace(tzinfo=None))


@pytest.mark.parametrize("count", [-1, 1_001])
def test_a_preview_is_bounded(count: int) -> None:
    with pytest.raises(InvalidField, match="1000"):
        fires(Every(60), after=NOON, count=count)


# -- refused at creation ------------------------------------------------------------------------


@pytest.mark.parametrize("at", [NOON, NOON - SECOND])
def test_a_past_instant_is_refused(at: datetime) -> None:
    with pytest.raises(ScheduleInPast, match="2026-01-31"):
        require_fires(At(at), now=NOON)


@pytest.mark.parametrize("expr", ["0 0 30 2 *", "0 0 31 4,6,9,11 *"])
def test_cron_that_names_no_date_is_refused(expr: str) -> None:
    with pytest.raises(ScheduleNeverFires) as refused:
        require_fires(Cron(expr), now=NOON)

    assert refused.value.facts == {"expr": expr}


@pytest.mark.parametrize(
    "schedule", [At(NOON + SECOND), Every(1), Every(60, "grid", NOON), Cron("0 0 29 2 *")]
)
def test_what_fires_is_accepted(schedule: Schedule) -> None:
    require_fires(schedule, now=NOON)


# -- slots owed ---------------------------------------------------------------------------------


def missed(schedule: Schedule, first: datetime, until: datetime) -> Missed | None:
    return missed_fires(schedule, first=first, until=until, cause="paused")


def test_nothing_is_missed_before_the_first_slot() -> None:
    assert missed(Cron("* * * * *"), NOON, NOON - SECOND) is None


@pytest.mark.parametrize(
    ("schedule", "hours", "count", "last"),
    [
        (At(NOON), 9, 1, NOON),
        (Every(1800), 2, 5, NOON + 2 * 60 * MINUTE),
        (Every(1800, "grid", NOON - MINUTE), 1, 3, NOON + 59 * MINUTE),
        (Cron("0 * * * *"), 2, 3, NOON + 120 * MINUTE),
        (Cron("*/7 * * * *"), 1, 10, NOON + 60 * MINUTE),
        (Cron("0 12 * * *"), 23, 1, NOON),
        (Cron("0 12 * * *"), 24 * 9, 10, NOON + timedelta(days=9)),
        (Cron("0 * * * mon"), 9, 1, NOON),  # NOON is a Saturday: a shifted slot counts alone
    ],
)
def test_slots_are_counted_from_the_first_to_the_last_inclusive(
    schedule: Schedule, hours: int, count: int, last: datetime
) -> None:
    owed = missed(schedule, NOON, NOON + timedelta(hours=hours))

    assert owed == Missed(count, NOON, last, "paused", capped=False)


@pytest.mark.parametrize("schedule", [Every(60), Every(60, "grid", NOON), Cron("* * * * *")])
@pytest.mark.parametrize(("slots", "capped"), [(9_999, False), (10_000, False), (10_001, True)])
def test_the_count_is_exact_up_to_its_limit(schedule: Schedule, slots: int, capped: bool) -> None:
    owed = missed(schedule, NOON, NOON + (slots - 1) * MINUTE)

    count = min(slots, COUNTED_SLOTS)
    assert owed == Missed(count, NOON, NOON + (count - 1) * MINUTE, "paused", capped)


def test_missed_slots_are_written_as_events_store_them() -> None:
    owed = missed(Every(60), NOON, NOON + MINUTE)

    assert owed is not None
    assert owed.plain() == {
        "count": 2,
        "first": "2026-01-31T12:00:00Z",
        "last": "2026-01-31T12:01:00Z",
        "cause": "paused",
        "capped": False,
    }


# -- in words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        (At(NOON), "at 2026-01-31 12:00:00 UTC"),
        (Every(1), "every second"),
        (Every(90), "every 90 seconds"),
        (Every(1.5), "every 1.5 seconds"),
        (Every(300), "every 5 minutes"),
        (Every(3600), "every hour"),
        (Every(172_800, "grid", NOON), "every 2 days, on the grid from 2026-01-31T12:00:00Z"),
        (Cron("*/5 * * * *"), "Every 5 minutes (UTC)"),
        (Cron("@daily", "Asia/Tokyo"), "At 00:00 (Asia/Tokyo)"),
        (Cron("0 9 * * mon-FRI"), "At 09:00, Monday through Friday (UTC)"),
        (Cron("0 0 13 * 5"), "At 00:00, on day 13 of the month, or on Friday (UTC)"),
        (Cron("0 0 */2 * 1"), "At 00:00, every 2 days, only on Monday, when both match (UTC)"),
        (Cron("5 4 * * 0-7"), "At 04:05 (UTC)"),
        (Cron("5 4 5,* * 1"), "At 04:05 (UTC)"),
        (Cron("5 4 * * 07"), "At 04:05, only on Sunday (UTC)"),
    ],
)
def test_a_schedule_is_described_in_one_sentence(schedule: Schedule, sentence: str) -> None:
    assert describe(schedule) == sentence


def test_every_accepted_expression_can_be_described() -> None:
    random = Random(SEED)
    print(f"seed: {SEED}")
    for _ in range(1_000):
        assert describe(Cron(random_crontab(random))).endswith(" (UTC)")


def test_the_planner_names_what_computed_a_fire() -> None:
    versions = planner()

    assert sorted(versions) == ["croniter", "tzdata"]
    assert all(versions.values())
    assert planner() is not versions


# -- how much work an answer may take -----------------------------------------------------------


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions `work` calls: a measure of work that no clock affects."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(previous)
    return calls


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda cron: cron.expr[:20])
def test_no_accepted_expression_takes_unbounded_work(bomb: Cron) -> None:
    recurrence._timetable.cache_clear()
    for year in (1969, 2011, 2026, 2097):
        after = datetime(year, 3, 1, tzinfo=UTC)
        assert calls_of(partial(next_fire, bomb, after=after)) < 20_000


def test_a_fire_inside_a_known_stretch_is_answered_from_the_cache() -> None:
    weekly = Cron("0 0 * * 0", "Europe/Berlin")
    answer = next_fire(weekly, after=NOON)

    assert calls_of(lambda: next_fire(weekly, after=NOON + timedelta(hours=5))) < 10
    assert next_fire(weekly, after=NOON + timedelta(hours=5)) == answer
    assert next_fire(weekly, after=NOON - timedelta(days=14)) != answer


def test_a_long_outage_is_counted_day_by_day() -> None:
    minutely = Cron("* * * * *", "Europe/Berlin")
    first, until = NOON + timedelta(days=400), NOON + timedelta(days=407)

    assert calls_of(lambda: missed(minutely, first, until)) < 5_000


def test_computing_fires_leaves_the_shared_calendar_as_it_was() -> None:
    timetable = recurrence._timetable(Cron("*/30 * * * *", "Australia/Lord_Howe"))
    before = dict(vars(timetable._calendar))

    timetable.next(NOON)

    assert vars(timetable._calendar) == before  # croniter stores its position in itself


def test_threads_that_share_one_timetable_all_get_correct_answers() -> None:
    half_hourly = Cron("*/30 * * * *", "Australia/Lord_Howe")
    asked = [datetime(2024, 4, 6, tzinfo=UTC) + n * 31 * MINUTE for n in range(200)] * 10
    Random(SEED).shuffle(asked)
    alone = [next_fire(half_hourly, after=after) for after in asked]

    patience = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads are switched in the middle of almost everything
    try:
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda after: next_fire(half_hourly, after=after), asked))
    finally:
        sys.setswitchinterval(patience)

    assert together == alone


@pytest.mark.proof
def test_parsing_and_computing_fires_stay_within_their_budgets() -> None:
    random = Random(SEED)
    print(f"seed: {SEED}")
    parsed: list[float] = []
    asked: list[float] = []
    for _ in range(10_000):
        expr = random_crontab(random)
        begun = perf_counter()
        parse_cron(expr)
        parsed.append(perf_counter() - begun)
        cron = Cron(expr, random.choice(("UTC", "Europe/Berlin", "America/Havana")))
        next_fire(cron, after=NOON)
        begun = perf_counter()
        next_fire(cron, after=NOON + timedelta(days=random.randrange(-9_000, 9_000)))
        asked.append(perf_counter() - begun)
    print(f"parse p99 {sorted(parsed)[9_900]:.6f} s, next p99 {sorted(asked)[9_900]:.6f} s")

    assert sorted(parsed)[9_900] < 0.001
    assert sorted(asked)[5_000] < 0.000_05
    assert sorted(asked)[9_900] < 0.002

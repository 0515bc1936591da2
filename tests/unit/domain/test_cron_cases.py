"""Cron fires when cronie does: checked cases, a minute-by-minute second opinion, properties."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ledger.clock import parse_rfc3339, rfc3339
from ledger.domain.schedule import recurrence
from ledger.domain.schedule.recurrence import fires, missed_fires, next_fire
from ledger.domain.schedule.schedules import Cron, Dst, Schedule, parse_schedule
from ledger.errors import ScheduleInvalid
from tests.cron.oracle import Crontab, changes, random_crontab, ticks

FOLDER = Path(__file__).parents[2] / "cron"
CASES = json.loads((FOLDER / "cases.json").read_text())
REFUSED = json.loads((FOLDER / "reject.json").read_text())
SEED = 20_260_131

# Each zone with a year of unusual changes: gaps at midnight, of 30 minutes, of a day; summer time
# that is negative; and corrections of more than three hours, in both directions.
CHANGED = [
    ("America/New_York", 2024), ("Europe/Berlin", 2024), ("Europe/Dublin", 2019),
    ("Australia/Lord_Howe", 2024), ("Pacific/Chatham", 2024), ("America/Havana", 2024),
    ("America/Sao_Paulo", 2018), ("America/St_Johns", 2006), ("America/Nuuk", 2023),
    ("America/Scoresbysund", 2024), ("Africa/Casablanca", 2024), ("Africa/Cairo", 2014),
    ("Asia/Tehran", 2022), ("Asia/Gaza", 2011), ("Asia/Amman", 2022), ("Asia/Kathmandu", 1985),
    ("Asia/Pyongyang", 2015), ("America/Caracas", 2007), ("America/Caracas", 2016),
    ("Antarctica/Troll", 2024), ("Antarctica/Casey", 2020), ("Antarctica/Vostok", 1994),
    ("Pacific/Apia", 2011), ("Pacific/Kiritimati", 1994), ("Pacific/Kwajalein", 1969),
    ("Pacific/Kwajalein", 1993),
]  # fmt: skip


def cron(expr: str, tz: str = "UTC", dst: Dst = "vixie") -> Schedule:
    return parse_schedule({"kind": "cron", "expr": expr, "tz": tz, "dst": dst})


def first_fires(schedule: Schedule, after: str, count: int) -> list[str]:
    return [rfc3339(at) for at in fires(schedule, after=parse_rfc3339(after), count=count)]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case_checked_against_a_real_cron(case: dict[str, Any]) -> None:
    found = first_fires(cron(case["expr"], case["tz"]), case["after"], 3)

    assert found == case["expected"], case["why"]


@pytest.mark.parametrize("case", REFUSED, ids=[case["why"] for case in REFUSED])
def test_an_expression_that_cron_refuses_is_refused(case: dict[str, Any]) -> None:
    expr = case["expr"]
    if isinstance(expr, dict):
        expr = "*" * expr["len"]

    with pytest.raises(ScheduleInvalid):
        cron(expr)


OWN_CASES: dict[str, tuple[str, str, str, list[str]]] = {
    "asked in the second pass, a fixed time has had its turn":
        ("30 1 * * *", "America/New_York", "2024-11-03T06:15:00Z",
         ["2024-11-04T06:30:00Z", "2024-11-05T06:30:00Z"]),
    "all of the second pass is passed over, minute by minute":
        ("0-59 1 * * *", "America/New_York", "2024-11-03T06:15:00Z",
         ["2024-11-04T06:00:00Z", "2024-11-04T06:01:00Z"]),
    "asked in the first pass, a job of real minutes finds an earlier wall time next":
        ("15 * * * *", "America/New_York", "2024-11-03T05:30:00Z",
         ["2024-11-03T06:15:00Z", "2024-11-03T07:15:00Z"]),
    "a day that is repeated for a correction of 23 hours is run twice":
        ("0 12 * * *", "Pacific/Kwajalein", "1969-09-29T12:00:00Z",
         ["1969-09-30T01:00:00Z", "1969-10-01T00:00:00Z"]),
    "a jump of exactly three hours is not more than three hours":
        ("0 2 * * *", "Antarctica/Casey", "2020-10-03T12:00:00Z",
         ["2020-10-03T16:01:00Z", "2020-10-04T15:00:00Z"]),
    "eight years without 29 February":
        ("0 0 29 2 *", "Europe/Berlin", "2096-03-01T00:00:00Z", ["2104-02-28T23:00:00Z"]),
    "forty years without a Sunday that is 29 February":
        ("0 0 29 2 */7", "UTC", "2088-03-01T00:00:00Z", ["2128-02-29T00:00:00Z"]),
    "either day: a date that never comes leaves the weekday":
        ("0 0 31 4 1", "UTC", "2024-01-01T00:00:00Z",
         ["2024-04-01T00:00:00Z", "2024-04-08T00:00:00Z"]),
    "either day: a star that is not at the beginning names every day":
        ("0 0 5,* * 1", "UTC", "2024-01-01T00:00:00Z",
         ["2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"]),
    "the last minute there is":
        ("59 23 31 12 *", "UTC", "9999-12-30T00:00:00Z", ["9999-12-31T23:59:00Z"]),
    "no such date": ("0 0 30 2 *", "UTC", "2024-01-01T00:00:00Z", []),
    "no such date and day": ("0 0 31 2 */2", "UTC", "2024-01-01T00:00:00Z", []),
    "every year the hour does not exist":
        ("*/30 2 8-14 3 */7", "America/New_York", "2024-01-01T00:00:00Z", []),
}  # fmt: skip


@pytest.mark.parametrize(("expr", "tz", "after", "expected"), OWN_CASES.values(), ids=OWN_CASES)
def test_a_case_of_our_own(expr: str, tz: str, after: str, expected: list[str]) -> None:
    assert first_fires(cron(expr, tz), after, max(1, len(expected))) == expected


def test_skip_leaves_a_fixed_time_out_on_the_day_it_does_not_exist() -> None:
    found = first_fires(cron("30 2 * * *", "America/New_York", "skip"), "2024-03-09T12:00:00Z", 2)

    assert found == ["2024-03-11T06:30:00Z", "2024-03-12T06:30:00Z"]


def a_day_in_new_york(day: str) -> tuple[datetime, datetime]:
    """Its first instant and that of the next day on the wall clock, in UTC."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("America/New_York"))
    return midnight.astimezone(UTC), (midnight + timedelta(days=1)).astimezone(UTC)


@pytest.mark.parametrize(
    ("day", "minutes"), [("2024-11-03", 1_500), ("2024-03-10", 1_380), ("2024-07-01", 1_440)]
)
def test_a_day_has_as_many_minutes_as_the_clock_shows(day: str, minutes: int) -> None:
    start, end = a_day_in_new_york(day)
    schedule = cron("* * * * *", "America/New_York")
    owed = missed_fires(schedule, first=start, until=end - timedelta(minutes=1), cause="test")
    walked = list(within(schedule, start, end))

    assert owed is not None
    assert (owed.count, len(walked)) == (minutes, minutes)


@pytest.mark.parametrize("day", ["2024-11-03", "2024-03-10"])
@pytest.mark.parametrize("expr", ["30 1 * * *", "30 2 * * *", "@daily", "59 23 * * *"])
def test_a_daily_job_fires_once_on_a_day_of_any_length(day: str, expr: str) -> None:
    start, end = a_day_in_new_york(day)

    assert len(list(within(cron(expr, "America/New_York"), start, end))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("tz", "year"), CHANGED)
def test_around_a_change_of_the_clock_cron_fires_when_cronie_does(tz: str, year: int) -> None:
    random = Random(f"{SEED} {tz} {year}")
    print(f"seed: {SEED}")
    checked = 0
    for change in changes(tz, year):
        start = change.replace(hour=0, minute=0) - timedelta(days=3)
        lived = list(ticks(tz, start, start + timedelta(days=7)))
        wall = (change - timedelta(minutes=random.choice((1, 31, 61)))).astimezone(ZoneInfo(tz))
        for _ in range(40):
            expr = random_crontab(random, near=wall)
            dst: Dst = random.choice(("vixie", "vixie", "skip"))
            expected = Crontab(expr).fires(lived, dst=dst)
            for after in questions(random, start, change, expected):
                found = next_fire(Cron(expr, tz, dst), after=after)
                assert found == expected[bisect_right(expected, after)], (expr, dst, after)
                checked += 1
    assert checked > 100


def questions(
    random: Random, start: datetime, change: datetime, expected: list[datetime]
) -> Iterator[datetime]:
    """Instants far from the change, near it, at it, and a microsecond beside fires."""
    yield from (
        after
        for after in (
            *(start + timedelta(seconds=random.randrange(6 * 86_400)) for _ in range(3)),
            *(change + timedelta(seconds=random.randrange(-7_200, 7_200)) for _ in range(6)),
            *(change + timedelta(microseconds=tick) for tick in (-1, 0)),
            *(
                at + timedelta(microseconds=random.choice((-1, 0, 1)))
                for at in expected
                if abs(at - change) < timedelta(hours=3)
            ),
        )
        if expected and after < expected[-1]
    )


def test_the_calendar_agrees_with_a_search_day_by_day() -> None:
    random = Random(SEED)
    print(f"seed: {SEED}")
    for _ in range(1_000):
        expr = random_crontab(random)
        year = random.choice((1999, 2023, 2024, 2095, 2096, 2100, 2399))
        after = datetime(year, 1, 1) + timedelta(seconds=random.randrange(365 * 86_400))
        found = next_fire(Cron(expr), after=after.replace(tzinfo=UTC))

        assert found == day_by_day(Crontab(expr), after), (expr, after)


def day_by_day(crontab: Crontab, after: datetime) -> datetime | None:
    """The next fire in UTC, by searching 45 years of days."""
    minutes, hours, _, months, _ = crontab.fields
    times = sorted(timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)
    midnight = datetime(after.year, after.month, after.day)
    for day in (midnight + timedelta(days=n) for n in range(45 * 366)):
        if day.month in months and crontab.names(day + times[0]):
            later = [day + time for time in times if day + time > after]
            if later:
                return later[0].replace(tzinfo=UTC)
    return None


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(10_000, marks=pytest.mark.slow),
        pytest.param(1_000_000, marks=pytest.mark.proof),
    ],
)
def test_next_is_later_and_the_same_whenever_it_is_computed(count: int) -> None:
    random = Random(SEED)
    print(f"seed: {SEED}")
    for _ in range(count):
        schedule = Cron(random_crontab(random), random.choice(CHANGED)[0])
        after = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            seconds=random.randrange(130 * 366 * 86_400),
            microseconds=random.choice((0, 1, 999_999)),
        )
        found = next_fire(schedule, after=after)
        if found is None:
            continue
        between = after + random.random() * (found - after)
        recurrence._timetable.cache_clear()  # its cache must not be what is tested
        following = next_fire(schedule, after=found)

        assert after < found
        assert following is None or found < following
        assert next_fire(schedule, after=min(between, found - timedelta.resolution)) == found
        assert found.second == found.microsecond == 0


@pytest.mark.parametrize(("tz", "year"), CHANGED)
def test_slots_are_counted_as_if_they_were_walked(tz: str, year: int) -> None:
    random = Random(f"{SEED} {tz} {year}")
    print(f"seed: {SEED}")
    for change in changes(tz, year):
        for expr in ("*/7 * * * *", "3,33 0-23 * * *", random_crontab(random, near=change)):
            first = next_fire(Cron(expr, tz), after=change - timedelta(hours=30))
            until = change + timedelta(hours=random.randrange(-4, 60))
            if first is None or first > until:
                continue
            walked = list(within(Cron(expr, tz), first, until + timedelta.resolution))
            owed = missed_fires(Cron(expr, tz), first=first, until=until, cause="test")
            assert owed is not None
            assert (owed.count, owed.last) == (len(walked), walked[-1]), (expr, first, until)


def within(schedule: Schedule, start: datetime, end: datetime) -> Iterator[datetime]:
    """The fires from `start` on, before `end`."""
    upcoming = next_fire(schedule, after=start - timedelta.resolution)
    while upcoming is not None and upcoming < end:
        yield upcoming
        upcoming = next_fire(schedule, after=upcoming)

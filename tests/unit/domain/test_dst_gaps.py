"""Wall times that did not exist, against a scan of every minute of the zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ledger.domain.schedule.dst_gaps import skipped_fire
from ledger.domain.schedule.schedules import parse_schedule
from ledger.domain.schedule.time_zones import leaps

YEAR = datetime(2026, 1, 1, tzinfo=UTC)
SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def cron(expr: str, dst: str = "skip", tz: str = "Europe/Berlin") -> object:
    return {"kind": "cron", "expr": expr, "tz": tz, "dst": dst}


@pytest.mark.parametrize(
    ("schedule", "wall"),
    [
        (cron("30 2 * * *"), "02:30"),
        (cron("5,50 2 * * *"), "02:50"),
        (cron("30 2 * * *", "vixie"), None),
        (cron("*/10 2 * * *"), None),
        (cron("30 3 * * *"), None),
        (cron("30 2 * * 1"), None),
        ({"kind": "every", "interval_seconds": 60}, None),
    ],
)
def test_a_fixed_time_in_the_skipped_hour_was_skipped(schedule: object, wall: str | None) -> None:
    found = skipped_fire(parse_schedule(schedule), after=SPRING - DAY, until=SPRING + DAY)

    assert (f"{found.wall:%H:%M}" if found is not None else None) == wall


def test_a_day_that_a_zone_skipped_is_skipped_whatever_the_dst_rule() -> None:
    samoa = datetime(2011, 12, 30, 10, tzinfo=UTC)
    schedule = parse_schedule(cron("0 12 * * *", "vixie", "Pacific/Apia"))

    found = skipped_fire(schedule, after=samoa - DAY, until=samoa + timedelta(hours=1))

    assert found is not None
    assert f"{found.wall:%Y-%m-%d %H:%M}" == "2011-12-30 12:00"


def test_before_the_change_and_after_it_nothing_was_skipped() -> None:
    schedule = parse_schedule(cron("30 2 * * *"))

    assert skipped_fire(schedule, after=SPRING - DAY, until=SPRING - timedelta(seconds=1)) is None
    assert skipped_fire(schedule, after=SPRING, until=SPRING + DAY) is None


@pytest.mark.parametrize("key", ["Europe/Berlin", "America/New_York", "Africa/Casablanca", "UTC"])
def test_every_leap_of_a_year_is_found_to_the_second(key: str) -> None:
    tz = ZoneInfo(key)
    minutes = [YEAR + timedelta(minutes=number) for number in range(0, 366 * 1440)]
    offsets = [at.astimezone(tz).utcoffset() or timedelta() for at in minutes]
    expected = [
        at
        for at, before, later in zip(minutes[1:], offsets, offsets[1:], strict=False)
        if later > before
    ]

    found = leaps(tz, after=YEAR, until=minutes[-1])

    assert [change.at for change in found] == expected

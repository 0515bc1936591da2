"""When the jobs of a recovery are resumed and fire first, calculated by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.stagger import (
    MAX_FIRES,
    FireForecast,
    ResumingJob,
    fire_forecast_of,
    steps_of,
)
from tests.support.builders import DAY, HOUR, HOURLY, MINUTE, NOON, a_job, an_id

BEGIN = NOON + 58 * MINUTE


def returning(
    *numbers: int, schedule: dict[str, Any] = HOURLY, **policy: float
) -> list[ResumingJob]:
    jobs = (a_job(number=number, schedule=schedule, policy=policy) for number in numbers)
    return [ResumingJob.of(job) for job in jobs]


def forecast(jobs: list[ResumingJob], **terms: Any) -> FireForecast:
    return fire_forecast_of(steps_of(jobs, Terms(**terms), NOON), NOON)


def after_noon(at: datetime | None) -> timedelta:
    assert at is not None
    return at - NOON


def test_a_job_whose_step_comes_after_the_hour_fires_an_hour_later() -> None:
    steps = steps_of(returning(1, 2, 3, 4), Terms(rate_per_minute=1), BEGIN)

    assert [after_noon(step.step_at) for step in steps] == [
        58 * MINUTE, 59 * MINUTE, 60 * MINUTE, 61 * MINUTE
    ]  # fmt: skip
    assert [after_noon(step.first_fire_at) for step in steps] == [
        HOUR, HOUR + MINUTE, 2 * HOUR + 2 * MINUTE, 2 * HOUR + 3 * MINUTE
    ]  # fmt: skip


def test_a_probe_fires_at_its_step() -> None:
    steps = steps_of(returning(1, 2), Terms(probe=an_id(1), rate_per_minute=1), BEGIN)

    assert [after_noon(step.first_fire_at) for step in steps] == [58 * MINUTE, HOUR + MINUTE]


def test_the_jitter_of_a_job_is_added_to_its_step() -> None:
    jobs = returning(1, 1, jitter_seconds=2400)
    assert [job.jitter for job in jobs] == [33 * MINUTE] * 2

    fires = forecast(jobs, rate_per_minute=1)

    assert sorted(map(after_noon, fires.at_once.elements())) == [93 * MINUTE] * 2
    assert sorted(map(after_noon, fires.staggered.elements())) == [93 * MINUTE, 94 * MINUTE]
    assert (fires.first_at_once_peak, fires.first_staggered_peak) == (2, 1)


def test_the_forecast_counts_every_fire_of_the_next_hour() -> None:
    fires = forecast(returning(1, 2, 3, schedule={"kind": "cron", "expr": "*/20 * * * *"}))

    minutes = {after_noon(at): n for at, n in fires.at_once.items()}
    assert minutes == {20 * MINUTE: 3, 40 * MINUTE: 3}
    assert {after_noon(at): n for at, n in fires.staggered.items()} == minutes
    assert (fires.begins_at, fires.ends_at) == (NOON, NOON + HOUR)


def test_the_forecast_lasts_until_the_last_job_has_fired_at_most_a_day() -> None:
    daily = {"kind": "cron", "expr": "0 21 * * *"}
    yearly = forecast(returning(1, 2, schedule={"kind": "cron", "expr": "0 0 1 1 *"}))

    last = forecast(returning(*range(90), schedule=daily), rate_per_minute=1)

    assert last.ends_at == NOON + 9 * HOUR + 90 * MINUTE
    assert yearly.ends_at == NOON + DAY
    assert not yearly.at_once


def test_the_forecast_of_many_fires_is_bounded() -> None:
    fires = forecast(returning(*range(50), schedule={"kind": "every", "interval_seconds": 1}))

    assert sum(fires.at_once.values()) <= MAX_FIRES
    assert NOON < fires.ends_at < NOON + HOUR
    assert max(fires.staggered) < fires.ends_at


def test_a_forecast_of_no_jobs_is_empty() -> None:
    assert not forecast([]).at_once
    assert steps_of([], Terms(), NOON) == []

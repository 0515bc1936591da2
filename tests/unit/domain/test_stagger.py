"""When the jobs of a recovery are resumed and fire first, calculated by hand."""

from __future__ import annotations

from datetime import datetime, timedelta

from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.stagger import ResumingJob, fire_forecast_of, steps_of
from tests.support.builders import HOUR, HOURLY, MINUTE, NOON, a_job, an_id

BEGIN = NOON + 58 * MINUTE


def returning(*numbers: int, **policy: float) -> list[ResumingJob]:
    """Jobs that fire at every full hour."""
    jobs = (a_job(number=number, schedule=HOURLY, policy=policy) for number in numbers)
    return [ResumingJob.of(job) for job in jobs]


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

    fires = fire_forecast_of(steps_of(jobs, Terms(rate_per_minute=1), NOON), NOON)

    assert sorted(map(after_noon, fires.at_once.elements())) == [93 * MINUTE] * 2
    assert sorted(map(after_noon, fires.staggered.elements())) == [93 * MINUTE, 94 * MINUTE]
    assert (fires.first_at_once_peak, fires.first_staggered_peak) == (2, 1)

"""Whether a recovery can abort before all jobs are resumed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ledger.domain.recovery.abort_check import AbortCheck, abort_check_of, earliest_trip
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.stagger import ResumingJob, step_of
from tests.support.builders import HOURLY, MINUTE, NOON, a_job, an_id

SOON = {"kind": "every", "interval_seconds": 10}
MINUTELY = {"kind": "cron", "expr": "* * * * *"}
SECOND = timedelta(seconds=1)
FAR = NOON + timedelta(days=9)


def returning(count: int, schedule: dict[str, Any] = SOON, **policy: Any) -> list[ResumingJob]:
    jobs = (
        a_job(number=number, schedule=schedule, policy=policy) for number in range(1, count + 1)
    )
    return [ResumingJob.of(job) for job in jobs]


def a_step(schedule: dict[str, Any], **policy: Any) -> Any:
    [job] = returning(1, schedule, **policy)
    return step_of(job, 0, Terms(), NOON)


def test_with_the_default_policy_the_default_limit_of_trips_comes_too_late() -> None:
    check = abort_check_of(returning(38, HOURLY), Terms(), NOON)

    assert check == AbortCheck(
        False,
        "All jobs are resumed before 3 can trip again: a probe, or a rate of 0.1 a minute, "
        "could stop it in time.",
    )


def test_where_jobs_trip_fast_enough_there_is_no_warning() -> None:
    assert abort_check_of(returning(38, trip_after=1), Terms(), NOON) == AbortCheck(True, None)


def test_the_suggested_rate_is_slow_enough() -> None:
    jobs = returning(20, trip_after=3, backoff_seconds=[60])
    fast = abort_check_of(jobs, Terms(rate_per_minute=60), NOON)

    assert fast.text is not None
    assert "a rate of 5 a minute" in fast.text
    assert abort_check_of(jobs, Terms(rate_per_minute=5), NOON) == AbortCheck(True, None)
    assert not abort_check_of(jobs, Terms(rate_per_minute=10), NOON).can_stop_in_time


def test_no_rate_is_suggested_where_none_is_slow_enough() -> None:
    [text] = {
        abort_check_of(returning(3), Terms(rate_per_minute=rate), NOON).text for rate in (1, 600)
    }

    assert text == ("All jobs are resumed before 3 can trip again: a probe could stop it in time.")


def test_a_probe_can_stop_it_though_trips_cannot() -> None:
    check = abort_check_of(returning(38, HOURLY), Terms(probe=an_id(1), abort_on=1), NOON)

    assert check == AbortCheck(
        True,
        "Once the probe has succeeded, all jobs are resumed before one can trip again.",
    )


@pytest.mark.parametrize(("probe", "can"), [(None, False), (an_id(1), True)])
def test_without_a_limit_there_is_no_warning(probe: Any, can: bool) -> None:
    terms = Terms(probe=probe, abort_on=None)

    assert abort_check_of(returning(38), terms, NOON) == AbortCheck(can, None)


@pytest.mark.parametrize("count", [0, 1])
def test_a_recovery_of_one_job_cannot_be_stopped_in_time(count: int) -> None:
    assert abort_check_of(returning(count), Terms(), NOON) == AbortCheck(False, None)


@pytest.mark.parametrize(
    ("schedule", "policy", "after"),
    [
        (SOON, {"trip_after": 1}, 10 * SECOND),
        (SOON, {"trip_after": 4, "backoff_seconds": [5, 20]}, 55 * SECOND),
        (MINUTELY, {"trip_after": 3, "backoff_seconds": [10, 600]}, 2 * MINUTE),
        (HOURLY, {}, timedelta(hours=2)),
    ],
)
def test_a_job_trips_after_its_errors_each_after_its_wait(
    schedule: dict[str, Any], policy: dict[str, Any], after: timedelta
) -> None:
    trip_at = earliest_trip(a_step(schedule, **policy), FAR)

    assert trip_at is not None
    assert trip_at - NOON == after if policy else trip_at - NOON > after


@pytest.mark.parametrize("policy", [{"counts": []}, {"trip_after": 101}])
def test_jobs_that_never_trip_or_only_after_very_many_errors_stop_nothing(
    policy: dict[str, Any],
) -> None:
    assert earliest_trip(a_step(SOON, **policy), FAR) is None

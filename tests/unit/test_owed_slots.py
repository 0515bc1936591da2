"""Slots that pass while nobody is there, or before a named instant: each is found in one event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ledger.domain.job import Job, Revival
from tests.builders import (
    EVERY_MINUTE,
    MINUTE,
    NOON,
    a_job,
    by,
    failed,
    lost,
    paused,
    running,
    succeeded,
)

INTERVAL = {"kind": "every", "interval_seconds": 60}
ONCE = {"kind": "at", "at": "2026-03-02T13:00:00Z"}


def last(job: Job) -> Any:
    """The last event the job recorded."""
    return job.pending_events[-1]


def test_an_interval_that_nobody_ran_for_ten_minutes_owes_them_to_the_late_run() -> None:
    late = NOON + 11 * MINUTE
    job = a_job(running(at=late, is_late=True), schedule=INTERVAL)

    succeeded(at=late)(job)

    assert (last(job).missed["count"], last(job).missed["cause"]) == (10, "downtime")


def test_slots_that_passed_while_the_owner_was_dead_are_downtime_and_no_overlap() -> None:
    job = a_job(running(), schedule=EVERY_MINUTE)

    lost("owner_restarted", at=NOON + 10 * MINUTE)(job)

    assert (last(job).missed["count"], last(job).missed["cause"]) == (9, "downtime")


def test_slots_before_an_instant_that_a_resume_named_are_recorded_by_its_run() -> None:
    job = a_job(paused(), schedule=EVERY_MINUTE)
    named = NOON + 10 * MINUTE + timedelta(seconds=30)
    job.resume(Revival(run_at=named), now=NOON + timedelta(seconds=1), by=by())
    running(at=named)(job)

    succeeded(at=named)(job)

    assert (last(job).missed["count"], last(job).missed["first"]) == (10, "2026-03-02T12:01:00Z")


def test_a_manual_run_that_fails_leaves_a_one_shot_its_instant() -> None:
    job = a_job(schedule=ONCE)
    job.request_run(now=NOON, by=by())
    running(at=NOON)(job)

    failed(at=NOON)(job)

    assert last(job).next_run_at == NOON + timedelta(hours=1)


def test_a_probe_that_a_restart_interrupted_does_not_double_the_wait() -> None:
    policy = {"trip_after": 1, "probe_after_seconds": 60}
    job = a_job(running(), failed(), schedule=INTERVAL, policy=policy)
    running(at=NOON + 2 * MINUTE)(job)

    lost("owner_restarted", at=NOON + 3 * MINUTE)(job)

    assert last(job).probe_at == NOON + 4 * MINUTE

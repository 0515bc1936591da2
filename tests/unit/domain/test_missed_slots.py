"""Slots that pass without a start, or before a named instant: each is recorded in one event."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.domain.job.job import Job, ResumeOptions
from tests.support.builders import (
    DAY,
    EVERY_MINUTE,
    HOUR,
    HOURLY,
    MINUTE,
    NOON,
    a_context,
    a_job,
    events_of,
    failed,
    lost,
    paused,
    running,
    succeeded,
    tripped,
)

INTERVAL = {"kind": "every", "interval_seconds": 60}
ONCE = {"kind": "at", "at": "2026-03-02T13:00:00Z"}


def last(job: Job) -> Any:
    """The last event the job recorded."""
    return job.pending_events[-1]


def test_an_interval_without_a_dispatcher_for_ten_minutes_records_them_with_the_late_run() -> None:
    late = NOON + 11 * MINUTE
    job = a_job(running(at=late, is_late=True), schedule=INTERVAL)

    succeeded(at=late)(job)

    assert (last(job).missed["count"], last(job).missed["cause"]) == (10, "downtime")


def test_slots_that_passed_while_the_owner_was_dead_are_downtime_and_not_overlap() -> None:
    job = a_job(running(), schedule=EVERY_MINUTE)

    lost("owner_restarted", at=NOON + 10 * MINUTE)(job)

    assert (last(job).missed["count"], last(job).missed["cause"]) == (9, "downtime")


def test_slots_before_an_instant_that_a_resume_named_are_recorded_by_its_run() -> None:
    job = a_job(paused(), schedule=EVERY_MINUTE)
    named = NOON + 10 * MINUTE + timedelta(seconds=30)
    job.resume(ResumeOptions(run_at=named), a_context(NOON + timedelta(seconds=1)))
    running(at=named)(job)

    succeeded(at=named)(job)

    assert (last(job).missed["count"], last(job).missed["first"]) == (10, "2026-03-02T12:01:00Z")


def test_a_manual_run_that_fails_leaves_a_one_shot_its_instant() -> None:
    job = a_job(schedule=ONCE)
    job.request_run(a_context(NOON))
    running(at=NOON)(job)

    failed(at=NOON)(job)

    assert last(job).next_run_at == NOON + timedelta(hours=1)


def test_a_probe_that_a_restart_interrupted_does_not_double_the_wait() -> None:
    policy = {"trip_after": 1, "probe_after_seconds": 60}
    job = a_job(running(), failed(), schedule=INTERVAL, policy=policy)
    running(at=NOON + 2 * MINUTE)(job)

    lost("owner_restarted", at=NOON + 3 * MINUTE)(job)

    assert last(job).probe_at == NOON + 4 * MINUTE


# -- which cause each slot has --------------------------------------------------------------------

EVERY_FIVE_SECONDS = {"kind": "every", "interval_seconds": 5, "anchor": "grid"}
FIRST = NOON + timedelta(seconds=5)
WORKER = {"kind": "worker", "queue": "gpu"}


def causes(job: Job) -> list[tuple[str, str, int]]:
    """Of each event that recorded missed slots: its topic, the cause, and how many."""
    told = ((event, getattr(event, "missed", None)) for event in job.pending_events)
    return [
        (event.TOPIC.removeprefix("job."), missed["cause"], missed["count"])  # type: ignore[attr-defined]
        for event, missed in told
        if missed
    ]


def test_slots_skipped_for_backoff_have_that_cause() -> None:
    policy = {"backoff_seconds": [60]}
    job = a_job(running(at=FIRST), schedule=EVERY_FIVE_SECONDS, policy=policy)

    failed(at=FIRST)(job)

    assert causes(job) == [("run_failed", "backoff", 11)]


def test_slots_skipped_for_a_retry_after_have_that_cause() -> None:
    job = a_job(running(), schedule=EVERY_MINUTE)

    failed(retry_after=NOON + 10 * MINUTE + timedelta(seconds=30))(job)

    assert causes(job) == [("run_failed", "backoff", 9)]


def test_slots_during_a_run_are_distinguished_from_those_during_its_backoff() -> None:
    job = a_job(running(), schedule=EVERY_MINUTE)

    failed(at=NOON + 4 * MINUTE, retry_after=NOON + 10 * MINUTE + timedelta(seconds=30))(job)

    assert causes(job) == [("fires_skipped", "overlap", 3), ("run_failed", "backoff", 6)]
    assert job.next_run_at == NOON + 10 * MINUTE + timedelta(seconds=30)


def test_slots_before_a_late_start_are_distinguished_from_those_during_its_run() -> None:
    late = NOON + 11 * MINUTE
    job = a_job(running(at=late, is_late=True), schedule=EVERY_MINUTE)

    succeeded(at=late + 2 * MINUTE)(job)

    assert causes(job) == [("fires_skipped", "downtime", 10), ("run_succeeded", "overlap", 2)]


def test_slots_before_a_retry_that_no_dispatcher_claimed_are_downtime() -> None:
    job = a_job(schedule=EVERY_FIVE_SECONDS, policy={"backoff_seconds": [58]})
    running(at=FIRST)(job)
    failed(at=FIRST)(job)
    late = NOON + 10 * MINUTE

    running(at=late, is_late=True)(job)
    succeeded(at=late)(job)

    assert job.pending_events[-2].trigger == "retry"  # type: ignore[attr-defined]
    assert causes(job) == [("run_failed", "backoff", 11), ("fires_skipped", "downtime", 108)]


def test_slots_before_a_manual_run_of_an_unclaimed_job_are_downtime() -> None:
    job = a_job(schedule=EVERY_MINUTE)
    job.request_run(a_context(NOON + 10 * MINUTE))
    running(at=NOON + 10 * MINUTE)(job)

    succeeded(at=NOON + 10 * MINUTE)(job)

    assert causes(job) == [("run_succeeded", "downtime", 10)]


@pytest.mark.parametrize("policy", [{}, {"catch_up": "none"}])
def test_slots_that_no_worker_claimed_have_that_cause(policy: Any) -> None:
    job = a_job(schedule=EVERY_MINUTE, executor=WORKER, policy=policy)
    late = NOON + 11 * MINUTE

    running(at=late, is_late=True)(job)
    if job.open_run is not None:
        succeeded(at=late)(job)

    assert [(cause, count) for _, cause, count in causes(job)] == [
        ("no_worker", 11 if policy else 10)
    ]


@pytest.mark.parametrize(
    ("cause", "during"), [("lease_expired", "downtime"), ("shutdown", "overlap")]
)
def test_slots_during_a_lost_run_are_not_overlap_when_its_node_was_dead(
    cause: str, during: str
) -> None:
    job = a_job(running(), schedule=EVERY_MINUTE)

    lost(cause, at=NOON + 4 * MINUTE)(job)

    assert causes(job) == [("run_lost", during, 3)]


def test_slots_before_an_instant_that_a_resume_named_were_delayed() -> None:
    job = a_job(paused(), schedule=EVERY_MINUTE)
    named = NOON + 10 * MINUTE + timedelta(seconds=30)
    job.resume(ResumeOptions(run_at=named), a_context(NOON + timedelta(seconds=1)))
    running(at=named)(job)

    succeeded(at=named + 2 * MINUTE)(job)

    assert causes(job) == [("fires_skipped", "delayed", 10), ("run_succeeded", "overlap", 2)]


# -- a schedule that goes -------------------------------------------------------------------------


def hourly_amended(job: Job, at: datetime, **changes: Any) -> list[dict[str, Any] | None]:
    """The missed slots in the job's events, once it was amended and resumed a day later."""
    job.amend(changes, a_context(at))
    job.resume(ResumeOptions(force=True), a_context(at + DAY))
    return [event.missed for event in job.pending_events if hasattr(event, "missed")]


@pytest.mark.parametrize("changes", [{"schedule": {"kind": "cron", "expr": "30 6 * * *"}}])
def test_the_missed_slots_of_a_paused_job_are_recorded_before_its_schedule_is_replaced(
    changes: Any,
) -> None:
    job = a_job(paused(), schedule=HOURLY)

    skipped, resumed = hourly_amended(job, NOON + 3 * HOUR + MINUTE, **changes)

    assert skipped is not None
    assert (skipped["count"], skipped["cause"]) == (3, "paused")
    assert (skipped["first"], skipped["last"]) == ("2026-03-02T13:00:00Z", "2026-03-02T15:00:00Z")
    assert resumed is not None
    assert (resumed["count"], resumed["first"]) == (1, "2026-03-03T06:30:00Z")


def test_slots_of_an_interval_are_not_counted_twice() -> None:
    job = a_job(paused(), schedule={"kind": "every", "interval_seconds": 3600})

    skipped, resumed = hourly_amended(
        job, NOON + 3 * HOUR + MINUTE, schedule={"kind": "every", "interval_seconds": 43_200}
    )

    assert skipped is not None
    assert resumed is not None
    assert (skipped["count"], resumed["count"]) == (3, 2)


def test_the_missed_slots_of_a_tripped_job_are_recorded_too() -> None:
    job = a_job(tripped(), schedule=HOURLY)
    assert job.tripped_at is not None

    skipped, _ = hourly_amended(job, job.tripped_at + 3 * HOUR, schedule=EVERY_MINUTE)[-2:]

    assert skipped is not None
    assert (skipped["count"], skipped["cause"]) == (3, "failed")


def test_a_due_slot_is_recorded_when_its_schedule_is_replaced_before_it_started() -> None:
    job = a_job(schedule=HOURLY)

    job.amend({"schedule": EVERY_MINUTE}, a_context(NOON + HOUR))

    skipped = job.pending_events[-2]
    assert (skipped.missed["count"], skipped.missed["cause"]) == (1, "amended")  # type: ignore[attr-defined]
    assert job.next_run_at == NOON + HOUR + MINUTE


@pytest.mark.parametrize("changes", [{"tags": ["x"]}, {"task": "other"}])
def test_a_change_of_another_field_records_no_slots(changes: Any) -> None:
    job = a_job(paused(), schedule=HOURLY)

    job.amend(changes, a_context(NOON + 3 * HOUR))

    assert events_of(job)[-1] == "job.amended"
    assert "job.fires_skipped" not in events_of(job)

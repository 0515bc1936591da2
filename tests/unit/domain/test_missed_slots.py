"""Slots that pass without a start, or before a named instant: each is recorded in one event."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.domain.events import RunSucceeded
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
    deleted,
    events_of,
    failed,
    lost,
    paused,
    requested,
    running,
    succeeded,
    tripped,
)

SECOND = timedelta(seconds=1)
INTERVAL = {"kind": "every", "interval_seconds": 60}
ONCE = {"kind": "at", "at": "2026-03-02T13:00:00Z"}


def last(job: Job) -> Any:
    """The last event the job recorded."""
    return job.pending_events[-1]


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
LATE = NOON + 11 * MINUTE
NAMED = NOON + 10 * MINUTE + timedelta(seconds=30)
WORKER = {"kind": "worker", "queue": "gpu"}


def resumed_at_named(job: Job) -> None:
    """It was paused, and resumed with an instant for its next run."""
    paused()(job)
    job.resume(ResumeOptions(run_at=NAMED), a_context(NOON + timedelta(seconds=1)))
    running(at=NAMED)(job)


def causes(job: Job) -> list[tuple[str, str, int]]:
    """Of each event that recorded missed slots: its topic, the cause, and how many."""
    told = ((event, getattr(event, "missed", None)) for event in job.pending_events)
    return [
        (event.TOPIC.removeprefix("job."), missed["cause"], missed["count"])  # type: ignore[attr-defined]
        for event, missed in told
        if missed
    ]


CAUSES: dict[str, tuple[Any, ...]] = {
    "backoff":
        ({"schedule": EVERY_FIVE_SECONDS, "policy": {"backoff_seconds": [60]}},
         [running(at=FIRST)], failed(at=FIRST), [("run_failed", "backoff", 11)]),
    "retry-after":
        ({}, [running()], failed(retry_after=NAMED), [("run_failed", "backoff", 9)]),
    "a run and its backoff are distinguished":
        ({}, [running()], failed(at=NOON + 4 * MINUTE, retry_after=NAMED),
         [("fires_skipped", "overlap", 3), ("run_failed", "backoff", 6)]),
    "an interval without a dispatcher for ten minutes":
        ({"schedule": INTERVAL}, [running(at=LATE, is_late=True)], succeeded(at=LATE),
         [("run_succeeded", "downtime", 10)]),
    "a late start and its run are distinguished":
        ({}, [running(at=LATE, is_late=True)], succeeded(at=LATE + 2 * MINUTE),
         [("fires_skipped", "downtime", 10), ("run_succeeded", "overlap", 2)]),
    "a retry that no dispatcher claimed":
        ({"schedule": EVERY_FIVE_SECONDS, "policy": {"backoff_seconds": [58]}},
         [running(at=FIRST), failed(at=FIRST), running(at=LATE, is_late=True)], succeeded(at=LATE),
         [("run_failed", "backoff", 11), ("fires_skipped", "downtime", 120)]),
    "a manual run of a job that no dispatcher claimed":
        ({}, [requested(at=LATE), running(at=LATE)], succeeded(at=LATE),
         [("run_succeeded", "downtime", 11)]),
    "no worker, caught up":
        ({"executor": WORKER}, [running(at=LATE, is_late=True)], succeeded(at=LATE),
         [("run_succeeded", "no_worker", 10)]),
    "no worker, not caught up":
        ({"executor": WORKER, "policy": {"catch_up": "none"}},
         [], running(at=LATE, is_late=True), [("fires_skipped", "no_worker", 11)]),
    "a lost run whose node was dead":
        ({}, [running()], lost("lease_expired", at=NOON + 4 * MINUTE),
         [("run_lost", "downtime", 3)]),
    "a lost run whose node restarted":
        ({}, [running()], lost("owner_restarted", at=NOON + 10 * MINUTE),
         [("run_lost", "downtime", 9)]),
    "a lost run whose node was stopped":
        ({}, [running()], lost("shutdown", at=NOON + 4 * MINUTE), [("run_lost", "overlap", 3)]),
    "an instant that a resume named":
        ({}, [resumed_at_named], succeeded(at=NAMED), [("run_succeeded", "delayed", 10)]),
    "an instant that a resume named, and a long run":
        ({}, [resumed_at_named], succeeded(at=NAMED + 2 * MINUTE),
         [("fires_skipped", "delayed", 10), ("run_succeeded", "overlap", 2)]),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "given", "end", "expected"), CAUSES.values(), ids=CAUSES)
def test_missed_slots_are_recorded_with_their_cause(
    fields: dict[str, Any], given: list[Any], end: Any, expected: list[tuple[str, str, int]]
) -> None:
    job = a_job(*given, **{"schedule": EVERY_MINUTE} | fields)

    end(job)

    assert causes(job) == expected


def test_a_retry_after_missed_slots_is_still_the_next_run() -> None:
    job = a_job(running(), schedule=EVERY_MINUTE)

    failed(at=NOON + 4 * MINUTE, retry_after=NAMED)(job)

    assert job.next_run_at == NAMED


# -- a schedule that goes -------------------------------------------------------------------------


def hourly_amended(job: Job, at: datetime, **changes: Any) -> list[dict[str, Any] | None]:
    """The missed slots in the job's events, once it was amended and resumed a day later."""
    job.amend(changes, a_context(at))
    job.resume(ResumeOptions(force=True), a_context(at + DAY))
    return [event.missed for event in job.pending_events if hasattr(event, "missed")]


def test_the_missed_slots_of_a_paused_job_are_recorded_before_its_schedule_is_replaced() -> None:
    job = a_job(paused(), schedule=HOURLY)
    other = {"kind": "cron", "expr": "30 6 * * *"}

    skipped, resumed = hourly_amended(job, NOON + 3 * HOUR + MINUTE, schedule=other)

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


def test_after_a_deletion_all_missed_slots_are_in_the_outcome_of_the_run() -> None:
    job = a_job(requested(at=NOON + 30 * SECOND), schedule=EVERY_MINUTE)
    running(at=NOON + 70 * SECOND)(job)
    deleted(at=NOON + 3 * MINUTE + SECOND)(job)
    before = len(events_of(job))

    succeeded(at=NOON + 3 * MINUTE + 30 * SECOND)(job)

    [outcome] = job.pending[before:]
    assert isinstance(outcome, RunSucceeded)
    assert outcome.missed is not None
    assert outcome.missed["count"] == 3, "12:01 before the run, 12:02 and 12:03 during it"

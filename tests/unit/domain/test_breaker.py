"""When a job is retried, when it trips, and how a breaker half-opens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from ledger.application.due_queue import due_item_of
from ledger.domain import events as e
from ledger.domain.job import runs
from ledger.domain.job.job import Job
from tests.support.builders import (
    DAY,
    EVERY_MINUTE,
    HOUR,
    HOURLY,
    MINUTE,
    NOON,
    ONCE,
    a_context,
    a_job,
    again,
    an_id,
    blocked,
    deleted,
    disabled,
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
DUE = NOON + MINUTE
Change = Callable[[Job], Any]


def last(job: Job) -> Any:
    return job.pending_events[-1]


def last_of(job: Job, kind: type[e.Event]) -> Any:
    return [event for event in job.pending_events if isinstance(event, kind)][-1]


# -- backoff ------------------------------------------------------------------------------------

INTERVAL = {"kind": "every", "interval_seconds": 60}
EVERY_FIVE_SECONDS = {"kind": "every", "interval_seconds": 5}


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 30), (2, 60), (3, 300), (4, 900), (5, 3600), (6, 3600), (9, 3600)],
)
def test_each_failure_waits_longer_and_the_last_step_repeats(failures: int, seconds: int) -> None:
    job = a_job()

    tripped(failures)(job)

    assert job.next_run_at == job.updated_at + timedelta(seconds=seconds)


def test_a_jobs_own_steps_are_used_and_its_last_repeats() -> None:
    job = a_job(policy={"backoff_seconds": [0.5, 2]})

    tripped(7)(job)

    assert job.next_run_at == job.updated_at + 2 * SECOND


NEXT_ATTEMPTS: dict[str, tuple[Any, ...]] = {
    "a cron job takes its next fire when backoff is longer":
        (EVERY_MINUTE, {"backoff_seconds": [900]}, failed, DUE + MINUTE),
    "a cron job takes backoff when its next fire is later":
        (HOURLY, {}, failed, NOON + HOUR + 30 * SECOND),
    "an interval job waits for backoff however short its interval":
        (EVERY_FIVE_SECONDS, {}, failed, NOON + 35 * SECOND),
    "retry-after pushes a cron job back":
        (EVERY_MINUTE, {}, partial(failed, retry_after=DUE + 3 * HOUR), DUE + 3 * HOUR),
    "retry-after pushes an interval job back":
        (INTERVAL, {}, partial(failed, retry_after=DUE + 3 * HOUR), DUE + 3 * HOUR),
    "retry-after pulls nothing forward":
        (INTERVAL, {}, partial(failed, retry_after=DUE + SECOND), DUE + 30 * SECOND),
    "an uncounted failure backs off all the same":
        (INTERVAL, {"counts": []}, failed, DUE + 30 * SECOND),
    "a lost one-shot backs off": (ONCE, {}, lost, DUE + 30 * SECOND),
    "a blocked one-shot backs off": (ONCE, {}, blocked, DUE + 30 * SECOND),
    "after a lost run the next slot": (HOURLY, {}, lost, NOON + 2 * HOUR),
    "after a blocked run the next slot": (HOURLY, {}, blocked, NOON + 2 * HOUR),
}  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "policy", "end", "next_run_at"), NEXT_ATTEMPTS.values(), ids=NEXT_ATTEMPTS
)
def test_the_next_attempt_after_a_run_without_success(
    schedule: dict[str, Any], policy: dict[str, Any], end: Callable[..., Change], next_run_at: Any
) -> None:
    job = a_job(schedule=schedule, policy=policy)

    again(end, 1)(job)

    assert job.next_run_at == next_run_at


def test_a_failure_records_the_retry_after_of_its_target() -> None:
    job = a_job(running())

    failed(retry_after=DUE + 3 * HOUR)(job)

    assert last(job).retry_after == DUE + 3 * HOUR


FAILED: tuple[Change, ...] = (running(), failed())
NO_CATCH_UP = {"policy": {"catch_up": "none"}}
TRIGGERS: dict[str, tuple[Any, ...]] = {
    "after a failure: a retry with the next number": (FAILED, {}, DUE + 30 * SECOND, "retry", 2),
    "a cron slot after a failure: its first attempt":
        (FAILED, {"schedule": EVERY_MINUTE, "policy": {"backoff_seconds": [900]}},
         DUE + MINUTE, "schedule", 1),
    "a requested run starts before the slot": ((requested(at=DUE),), {}, DUE, "manual", 1),
    "a late one-shot is always run":
        ((), {"schedule": ONCE, **NO_CATCH_UP}, NOON + DAY, "catch_up", 1),
    "a late retry is run even when slots are not caught up":
        (FAILED, NO_CATCH_UP, NOON + DAY, "retry", 2),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "fields", "at", "trigger", "attempt"), TRIGGERS.values(), ids=TRIGGERS
)
def test_a_run_has_the_trigger_and_the_number_of_its_attempt(
    changes: tuple[Change, ...], fields: dict[str, Any], at: datetime, trigger: str, attempt: int
) -> None:
    job = a_job(*changes, **fields)

    running(at=at, is_late=at - NOON >= DAY)(job)

    assert job.open_run is not None
    assert (job.open_run.trigger, job.open_run.attempt) == (trigger, attempt)


# -- what counts --------------------------------------------------------------------------------


timed_out = partial(failed, failure_class="timeout")
ONLY_LIMITS = {"counts": ["rate_limited"], "trip_after": 5}


STREAKS: dict[str, tuple[Any, ...]] = {
    "an uncounted failure leaves the streak as it was":
        ((again(failed, 4), again(timed_out, 20)), ONLY_LIMITS, ("active", 4, 0)),
    "a counted failure after uncounted ones continues the streak":
        ((again(failed, 4), again(timed_out, 3), again(failed, 1)), ONLY_LIMITS, ("failed", 5, 0)),
    "a job that repeatedly loses its node trips too": ((again(lost, 3),), {}, ("failed", 0, 3)),
    "losses do not add to errors nor errors to losses":
        ((again(failed, 9), again(lost, 2)), {}, ("active", 9, 2)),
    "a failure ends the streak of losses":
        ((again(lost, 2), again(failed, 1), again(lost, 2)), {}, ("active", 1, 2)),
    "a success ends the streak of losses":
        ((again(lost, 2), again(succeeded, 1), again(lost, 2)), {}, ("active", 0, 2)),
    "runs lost to our own restart do not count":
        ((again(partial(lost, "owner_restarted"), 20),), {}, ("active", 0, 0)),
    "runs lost to our own shutdown do not count":
        ((again(partial(lost, "shutdown"), 20),), {}, ("active", 0, 0)),
    "blocked runs never trip": ((again(blocked, 50),), {}, ("active", 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "policy", "expected"), STREAKS.values(), ids=STREAKS)
def test_errors_and_losses_are_counted_apart(
    changes: tuple[Change, ...], policy: dict[str, Any], expected: tuple[str, int, int]
) -> None:
    *before, change = changes
    job = a_job(*before, policy=policy)

    change(job)

    assert (job.status, job.consecutive_errors, job.consecutive_losses) == expected


def test_an_uncounted_failure_records_the_streak_it_left() -> None:
    job = a_job(again(failed, 4), policy=ONLY_LIMITS)

    again(timed_out, 1)(job)

    assert last(job).consecutive_errors == 4


def test_a_trip_by_losses_names_their_class_and_threshold() -> None:
    job = a_job()

    again(lost, 3)(job)

    assert (last(job).failure_class, last(job).threshold) == ("lost", 3)


def test_the_trip_names_the_first_error_of_its_own_streak() -> None:
    job = a_job(again(failed, 2), again(succeeded, 1), again(failed, 3), policy={"trip_after": 4})
    first = [event for event in job.pending_events if isinstance(event, e.RunFailed)][2]

    again(failed, 1)(job)

    assert job.status == "failed"
    assert last(job).first_error_position == job.position_of(first.originator_version, None)


def test_a_trip_carries_class_signature_and_error_of_the_last_failure() -> None:
    job = a_job(policy={"trip_after": 1})

    again(lambda at: failed("Error: timed out after 31 s", failure_class="timeout", at=at), 1)(job)

    trip = last(job)
    assert (trip.failure_class, trip.last_error) == ("timeout", "Error: timed out after 31 s")
    assert trip.signature == last_of(job, e.RunFailed).signature
    assert trip.signature.startswith("timeout api.example.com")


# -- outcomes that come late --------------------------------------------------------------------

ENDS: list[tuple[Change, str]] = [
    (succeeded(), "job.run_succeeded"),
    (failed(), "job.run_failed"),
    (lost(), "job.run_lost"),
    (blocked(), "job.run_blocked"),
]


@pytest.mark.parametrize(("change", "status"), [(paused(), "paused"), (deleted(), "deleted")])
@pytest.mark.parametrize(("end", "topic"), ENDS)
@pytest.mark.parametrize("schedule", [ONCE, HOURLY, EVERY_MINUTE])
def test_a_late_outcome_is_recorded_and_changes_no_status(
    change: Change, status: str, end: Change, topic: str, schedule: dict[str, Any]
) -> None:
    policy = {"trip_after": 1, "max_losses": 1}
    job = a_job(schedule=schedule, policy=policy)
    running(at=job.next_run_at or DUE)(job)
    change(job)

    end(job)

    assert events_of(job)[-1] == topic
    assert (job.status, job.next_run_at, job.open_run) == (status, None, None)


def test_a_late_failure_after_a_pause_counts_and_the_next_one_trips() -> None:
    job = a_job(running(), paused(), policy={"trip_after": 1})

    failed()(job)

    assert (job.status, job.consecutive_errors) == ("paused", 1)


def test_a_disabled_jobs_run_ends_without_a_next_one() -> None:
    job = a_job(running(), disabled)

    succeeded()(job)

    assert (job.status, job.next_run_at) == ("active", None)


# -- catching up --------------------------------------------------------------------------------


def test_a_late_slot_is_caught_up_once() -> None:
    job = a_job(schedule=EVERY_MINUTE)

    running(at=NOON + HOUR, is_late=True)(job)

    assert job.open_run is not None
    assert (job.open_run.trigger, job.open_run.scheduled_for) == ("catch_up", DUE)


def test_a_job_that_catches_up_none_skips_slots_and_records_them() -> None:
    job = a_job(schedule=EVERY_MINUTE, policy={"catch_up": "none"})

    running(at=NOON + HOUR, is_late=True)(job)

    assert job.open_run is None
    assert events_of(job)[-1] == "job.fires_skipped"
    assert last(job).missed == {
        "count": 60,
        "first": "2026-03-02T12:01:00Z",
        "last": "2026-03-02T13:00:00Z",
        "cause": "downtime",
        "capped": False,
    }
    assert job.next_run_at == NOON + HOUR + MINUTE


# -- jitter -------------------------------------------------------------------------------------


def test_jitter_is_a_jobs_own_stable_share() -> None:
    jobs = [a_job(number=n, policy={"jitter_seconds": 60}) for n in range(300)]

    shares = [job.parsed_policy.jitter(job.id) for job in jobs]

    assert shares == [job.parsed_policy.jitter(job.id) for job in jobs]
    assert all(timedelta() <= share < MINUTE for share in shares)
    assert len(set(shares)) > 100


def test_jitter_delays_the_claim_but_not_what_the_run_was_scheduled_for() -> None:
    job = a_job(number=500, policy={"jitter_seconds": 60})
    share = job.parsed_policy.jitter(an_id(500))
    assert share > timedelta()
    assert runs.start_due(job, runs.Claim("n"), a_context(DUE)) is None

    running(at=DUE + share)(job)

    assert job.open_run is not None
    assert job.open_run.scheduled_for == DUE


# -- half-open ----------------------------------------------------------------------------------

PROBING = {"trip_after": 1, "probe_after_seconds": 60}


def tripped_with_probe(**policy: Any) -> Job:
    return a_job(tripped(1), schedule=HOURLY, policy=PROBING | policy)


def probed(end: Callable[..., Change]) -> Change:
    """Its probe is run when it is due, and ends as `end` says."""

    def change(job: Job) -> None:
        assert job.probe_at is not None
        at = job.probe_at
        running(at=at)(job)
        end(at=at)(job)

    return change


def test_without_the_policy_no_probe_is_ever_due() -> None:
    job = a_job(tripped())

    assert (job.probe_at, last(job).probe_at) == (None, None)


def test_a_tripped_job_with_a_probe_records_when() -> None:
    job = tripped_with_probe()

    assert job.probe_at == last(job).probe_at == job.updated_at + MINUTE


@pytest.mark.parametrize(
    ("change", "at"), [(None, NOON + HOUR + MINUTE - SECOND), (disabled, NOON + DAY)]
)
def test_a_probe_starts_neither_before_its_time_nor_while_its_job_is_disabled(
    change: Change | None, at: datetime
) -> None:
    job = tripped_with_probe()
    if change is not None:
        change(job)

    run = runs.start_due(job, runs.Claim("n"), a_context(at))

    assert run is None


def test_a_probe_half_opens_the_breaker_and_the_job_stays_failed() -> None:
    job = tripped_with_probe()
    assert job.probe_at is not None

    running(at=job.probe_at)(job)

    assert events_of(job)[-2:] == ["job.circuit_half_opened", "job.run_started"]
    assert job.status == "failed"
    assert due_item_of(job) is None
    assert job.open_run is not None
    assert job.open_run.trigger == "probe"
    assert last_of(job, e.CircuitHalfOpened).run_id == job.open_run.run_id


@pytest.mark.parametrize(
    ("fields", "status", "topics"),
    [
        ({"schedule": HOURLY}, "active", ["job.run_succeeded", "job.circuit_closed"]),
        ({"schedule": ONCE}, "completed", ["job.circuit_closed", "job.completed"]),
        (
            {"schedule": HOURLY, "delete_after_run": True},
            "deleted",
            ["job.completed", "job.deleted"],
        ),
    ],
)
def test_a_probe_that_succeeds_closes_the_breaker(
    fields: dict[str, Any], status: str, topics: list[str]
) -> None:
    job = a_job(tripped(1), policy=PROBING, **fields)

    probed(succeeded)(job)

    assert events_of(job)[-2:] == topics
    assert (job.status, job.consecutive_errors) == (status, 0)
    assert job.next_run_at == (NOON + 2 * HOUR if status == "active" else None)


@pytest.mark.parametrize("end", [failed, lost, blocked])
def test_a_probe_without_success_doubles_the_wait(end: Callable[..., Change]) -> None:
    job = tripped_with_probe()

    probed(end)(job)

    assert (job.status, job.next_run_at) == ("failed", None)
    assert job.probe_at == job.updated_at + 2 * MINUTE


def test_the_wait_for_a_probe_never_exceeds_a_day() -> None:
    job = tripped_with_probe(probe_after_seconds=HOUR.total_seconds() * 10)

    waits = []
    for _ in range(4):
        assert job.probe_at is not None
        waits.append(job.probe_at - job.updated_at)
        probed(failed)(job)

    assert waits == [10 * HOUR, 20 * HOUR, DAY, DAY]


def test_a_failed_probe_leaves_the_instant_of_the_first_trip() -> None:
    job = tripped_with_probe()
    tripped_at = job.tripped_at

    probed(failed)(job)

    assert job.tripped_at == tripped_at


def test_a_job_disabled_during_its_probe_closes_and_does_not_fire() -> None:
    job = tripped_with_probe()
    assert job.probe_at is not None
    running(at=job.probe_at)(job)
    disabled(job)

    succeeded(at=job.updated_at)(job)

    assert (job.status, job.next_run_at) == ("active", None)

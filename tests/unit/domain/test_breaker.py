"""When a job is retried, when it trips, and how a breaker half-opens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.application.due_queue import due_item_of
from ledger.domain import events as e
from ledger.domain.job import outcomes, runs
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
    an_id,
    deleted,
    events_of,
    failed,
    lost,
    open_run_id,
    paused,
    requested,
    running,
    succeeded,
    tripped,
)

SECOND = timedelta(seconds=1)
DUE = NOON + MINUTE
Change = Callable[[Job], Any]


def blocked(cause: str = "commands are off", *, at: datetime = DUE) -> Change:
    return lambda job: outcomes.block(job, open_run_id(job), cause, a_context(at))


def again(end: Callable[..., Change], times: int) -> Change:
    """Run whenever it is due, and end each run as `end` says."""

    def change(job: Job) -> None:
        for _ in range(times):
            assert job.next_run_at is not None
            at = job.next_run_at
            running(at=at)(job)
            end(at=at)(job)

    return change


def last(job: Job) -> Any:
    return job.pending_events[-1]


def last_of(job: Job, kind: type[e.Event]) -> Any:
    return [event for event in job.pending_events if isinstance(event, kind)][-1]


# -- backoff ------------------------------------------------------------------------------------


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


def test_a_cron_job_takes_the_next_fire_when_backoff_is_longer() -> None:
    job = a_job(schedule=EVERY_MINUTE, policy={"backoff_seconds": [900]})

    tripped(1)(job)

    assert job.next_run_at == DUE + MINUTE


def test_a_cron_job_takes_backoff_when_the_next_fire_is_later() -> None:
    job = a_job(schedule=HOURLY)

    again(failed, 1)(job)

    assert job.next_run_at == NOON + HOUR + 30 * SECOND
    assert events_of(job)[-1] == "job.run_failed"


def test_an_interval_job_waits_for_backoff_however_short_its_interval() -> None:
    job = a_job(schedule={"kind": "every", "interval_seconds": 5})

    again(failed, 1)(job)

    assert job.next_run_at == NOON + 35 * SECOND


@pytest.mark.parametrize("schedule", [EVERY_MINUTE, {"kind": "every", "interval_seconds": 60}])
def test_retry_after_pushes_the_next_attempt_back(schedule: dict[str, Any]) -> None:
    job = a_job(running(), schedule=schedule)

    failed(retry_after=DUE + 3 * HOUR)(job)

    assert job.next_run_at == DUE + 3 * HOUR
    assert last(job).retry_after == DUE + 3 * HOUR


def test_retry_after_pulls_nothing_forward() -> None:
    job = a_job(running())

    failed(retry_after=DUE + SECOND)(job)

    assert job.next_run_at == DUE + 30 * SECOND


def test_slots_skipped_for_a_retry_are_recorded() -> None:
    job = a_job(running(), schedule=EVERY_MINUTE)

    failed(retry_after=DUE + 10 * MINUTE)(job)

    assert last(job).missed["count"] == 9
    assert last(job).missed["last"] == "2026-03-02T12:10:00Z"


def test_the_attempt_after_a_failure_is_a_retry_with_the_next_number() -> None:
    job = a_job(running(), failed())

    running(at=DUE + 30 * SECOND)(job)

    assert job.open_run is not None
    assert (job.open_run.trigger, job.open_run.attempt) == ("retry", 2)


def test_a_cron_slot_after_a_failure_is_a_slot_and_its_first_attempt() -> None:
    job = a_job(running(), failed(), schedule=EVERY_MINUTE, policy={"backoff_seconds": [900]})

    running(at=DUE + MINUTE)(job)

    assert job.open_run is not None
    assert (job.open_run.trigger, job.open_run.attempt) == ("schedule", 1)


# -- what counts --------------------------------------------------------------------------------


def test_a_failure_of_an_uncounted_class_leaves_the_streak_as_it_was() -> None:
    job = a_job(tripped(4), policy={"counts": ["rate_limited"]})

    again(lambda at: failed(failure_class="timeout", at=at), 20)(job)

    assert (job.status, job.consecutive_errors) == ("active", 4)
    assert last(job).consecutive_errors == 4


def test_an_uncounted_failure_backs_off_all_the_same() -> None:
    job = a_job(running(), policy={"counts": []})

    failed()(job)

    assert job.next_run_at == DUE + 30 * SECOND


def test_a_counted_failure_after_uncounted_ones_continues_the_streak() -> None:
    job = a_job(policy={"counts": ["rate_limited"], "trip_after": 2})
    again(failed, 1)(job)
    again(lambda at: failed(failure_class="timeout", at=at), 3)(job)

    again(failed, 1)(job)

    assert job.status == "failed"


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


# -- losses -------------------------------------------------------------------------------------


def test_a_job_that_repeatedly_loses_its_node_trips_too() -> None:
    job = a_job()

    again(lost, 3)(job)

    assert (job.status, job.consecutive_losses, job.consecutive_errors) == ("failed", 3, 0)
    assert (last(job).failure_class, last(job).threshold) == ("lost", 3)


def test_losses_do_not_add_to_errors_nor_errors_to_losses() -> None:
    job = a_job(again(failed, 9), again(lost, 2))

    assert (job.status, job.consecutive_errors, job.consecutive_losses) == ("active", 9, 2)


def test_a_failure_ends_the_streak_of_losses() -> None:
    job = a_job(again(lost, 2), again(failed, 1), again(lost, 2))

    assert (job.status, job.consecutive_losses) == ("active", 2)


def test_a_success_ends_the_streak_of_losses() -> None:
    job = a_job(again(lost, 2), again(succeeded, 1), again(lost, 2))

    assert (job.status, job.consecutive_losses) == ("active", 2)


@pytest.mark.parametrize("cause", ["owner_restarted", "shutdown"])
def test_runs_lost_to_our_own_restarts_do_not_count(cause: str) -> None:
    job = a_job()

    again(lambda at: lost(cause, at=at), 20)(job)

    assert (job.status, job.consecutive_losses) == ("active", 0)


@pytest.mark.parametrize("end", [lost, blocked])
def test_a_one_shot_without_a_result_retries_by_backoff(end: Callable[..., Change]) -> None:
    job = a_job(schedule=ONCE)

    again(end, 1)(job)

    assert job.next_run_at == DUE + 30 * SECOND


@pytest.mark.parametrize("end", [lost, blocked])
def test_a_recurring_job_without_a_result_waits_for_its_next_slot(
    end: Callable[..., Change],
) -> None:
    job = a_job(schedule=HOURLY)

    again(end, 1)(job)

    assert job.next_run_at == NOON + 2 * HOUR


def test_blocked_runs_never_trip() -> None:
    job = a_job()

    again(blocked, 50)(job)

    assert (job.status, job.consecutive_errors, job.consecutive_losses) == ("active", 0, 0)


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
    job = a_job(running())
    job.amend({"enabled": False}, a_context(DUE))

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


def test_a_late_one_shot_is_always_run() -> None:
    job = a_job(schedule=ONCE, policy={"catch_up": "none"})

    running(at=NOON + DAY, is_late=True)(job)

    assert job.open_run is not None
    assert job.open_run.trigger == "catch_up"


def test_a_late_retry_is_run_even_when_slots_are_not_caught_up() -> None:
    job = a_job(running(), failed(), policy={"catch_up": "none"})

    running(at=NOON + DAY, is_late=True)(job)

    assert job.open_run is not None
    assert job.open_run.trigger == "retry"


def test_slots_that_passed_while_catching_up_are_recorded_as_downtime() -> None:
    job = a_job(schedule=EVERY_MINUTE)
    running(at=NOON + HOUR, is_late=True)(job)

    succeeded(at=NOON + HOUR + SECOND)(job)

    assert (last(job).missed["count"], last(job).missed["cause"]) == (59, "downtime")


def test_more_than_ten_thousand_slots_are_counted_up_to_there_and_marked_so() -> None:
    job = a_job(schedule=EVERY_MINUTE, policy={"catch_up": "none"})

    running(at=NOON + 10 * DAY, is_late=True)(job)

    assert (last(job).missed["count"], last(job).missed["capped"]) == (10_000, True)


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


def test_a_probe_before_its_time_starts_nothing() -> None:
    job = tripped_with_probe()
    assert job.probe_at is not None

    run = runs.start_due(job, runs.Claim("n"), a_context(job.probe_at - SECOND))

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


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    job = tripped_with_probe()

    probed(succeeded)(job)

    assert events_of(job)[-2:] == ["job.run_succeeded", "job.circuit_closed"]
    assert (job.status, job.consecutive_errors) == ("active", 0)
    assert job.next_run_at == NOON + 2 * HOUR


def test_a_probe_that_succeeds_completes_a_one_shot() -> None:
    job = a_job(tripped(1), schedule=ONCE, policy=PROBING)

    probed(succeeded)(job)

    assert events_of(job)[-2:] == ["job.circuit_closed", "job.completed"]
    assert job.status == "completed"


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


def test_a_disabled_job_does_not_probe() -> None:
    job = tripped_with_probe()
    job.amend({"enabled": False}, a_context(NOON))

    run = runs.start_due(job, runs.Claim("n"), a_context(NOON + DAY))

    assert run is None


def test_a_job_disabled_during_its_probe_closes_and_does_not_fire() -> None:
    job = tripped_with_probe()
    assert job.probe_at is not None
    running(at=job.probe_at)(job)
    job.amend({"enabled": False}, a_context(job.updated_at))

    succeeded(at=job.updated_at)(job)

    assert (job.status, job.next_run_at) == ("active", None)


def test_a_job_with_delete_after_run_is_deleted_by_its_successful_probe() -> None:
    job = a_job(tripped(1), schedule=HOURLY, policy=PROBING, delete_after_run=True)

    probed(succeeded)(job)

    assert job.status == "deleted"


def test_a_requested_run_starts_before_the_slot_as_a_manual_one() -> None:
    job = a_job(requested(at=DUE))

    running(at=DUE)(job)

    assert job.open_run is not None
    assert job.open_run.trigger == "manual"
    assert job.next_run_at == DUE

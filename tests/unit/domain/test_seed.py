"""What ghostwright/phantom#128 asked for and what it left open: each is a test here."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest import raises

from ledger import Ledger
from ledger.domain import events as e
from ledger.domain.event_context import Actor
from ledger.domain.job import outcomes, runs
from ledger.domain.job.job import ResumeOptions
from ledger.domain.job.view import view
from ledger.errors import (
    CorruptEvent,
    ForceRequired,
    JobCompleted,
    JobDisabled,
    JobFailed,
    LedgerError,
    RunSuperseded,
    ScheduleExhausted,
    StaleRevision,
    UnknownField,
)
from ledger.store.audit_query import AuditQuery
from ledger.store.records import StoredEvent
from tests.support.builders import (
    DAY,
    EVERY_MINUTE,
    FORCE,
    HOUR,
    HOURLY,
    MINUTE,
    NOON,
    ONCE,
    OPERATOR,
    SUCCESS,
    ManualClock,
    a_context,
    a_job,
    a_spec,
    again,
    deleted,
    disabled,
    events_of,
    failed,
    open_ledger,
    open_run_id,
    paused,
    requested,
    running,
    succeeded,
    tripped,
)
from tests.support.runs import run_when_due

AGENT = Actor("phantom", "agent")
FAILURE = outcomes.Failure("429 Too Many Requests", "rate_limited", "api.example.com", None, 7)


def fail_until_it_trips(ledger: Ledger, job_id: UUID) -> None:
    """Run the job at its own times, without success, until its breaker trips."""
    while ledger.job_cache.jobs[job_id].status == "active":
        run_when_due(ledger, job_id, FAILURE)


def a_failed_job(ledger: Ledger, **fields: Any) -> UUID:
    job_id = ledger.schedule(a_spec(**fields)).job_id
    fail_until_it_trips(ledger, job_id)
    return job_id


# -- the rules ----------------------------------------------------------------------------------


COUNTS: dict[str, tuple[dict[str, Any], list[Any], int, str]] = {
    "ten errors in a row make a job failed": ({}, [], 10, "failed"),
    "nine errors in a row leave it active": ({}, [], 9, "active"),
    "a success in between starts the count anew":
        ({}, [tripped(9), again(succeeded, 1)], 9, "active"),
    "a one-shot fails after three errors": ({"schedule": ONCE}, [], 3, "failed"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "given", "errors", "status"), COUNTS.values(), ids=COUNTS)
def test_errors_in_a_row_make_a_job_failed_with_nothing_left_to_fire(
    fields: dict[str, Any], given: list[Any], errors: int, status: str
) -> None:
    job = a_job(*given, **fields)

    tripped(errors)(job)

    assert (job.status, job.consecutive_errors) == (status, errors)
    assert (job.next_run_at is None) is (status == "failed")


@pytest.mark.parametrize("later", [MINUTE, HOUR, DAY, 400 * DAY])
def test_nothing_changes_a_failed_job_however_long_it_waits(later: timedelta) -> None:
    job = a_job(tripped())
    assert job.tripped_at is not None

    run = runs.start_due(job, runs.Claim("n", is_late=True), a_context(job.tripped_at + later))

    assert run is None
    assert job.status == "failed"


@pytest.mark.parametrize("way", [ResumeOptions(), FORCE])
def test_a_paused_job_is_resumed_without_force_and_force_makes_no_difference(
    way: ResumeOptions,
) -> None:
    job = a_job(paused())

    assert job.resume(way, a_context(NOON + HOUR))

    assert (job.status, events_of(job)[-1]) == ("active", "job.resumed")


def test_a_failed_job_is_resumed_only_with_force() -> None:
    job = a_job(tripped())

    with raises(ForceRequired, match='{"force": true}'):
        job.resume(ResumeOptions(), a_context(NOON + DAY))


def test_a_forced_job_is_active_with_a_clean_budget() -> None:
    job = a_job(tripped())

    job.resume(FORCE, a_context(NOON + DAY))

    assert (job.status, job.consecutive_errors, job.attempts) == ("active", 0, 0)


def test_a_forced_job_fires_at_its_next_slot_neither_now_nor_at_the_missed_one() -> None:
    job = a_job(tripped(), schedule=HOURLY)

    job.resume(FORCE, a_context(NOON + DAY + 20 * MINUTE))

    assert job.next_run_at == NOON + DAY + HOUR


def test_a_forced_resume_wakes_the_dispatcher(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = a_failed_job(ledger, schedule=HOURLY)
        clock.at = NOON + DAY
        assert ledger.job_cache.due.next_at() is None

        ledger.resume(job_id, force=True)

        assert ledger.job_cache.due.next_at() == NOON + DAY + HOUR


def test_a_forced_resume_records_who_and_why_and_what_was_cleared() -> None:
    job = a_job(tripped())
    tripped_at = job.tripped_at

    job.resume(FORCE, a_context(NOON + DAY, reason="the quota was raised"))

    event = job.pending_events[-1]
    assert isinstance(event, e.ForceResumed)
    assert (event.actor, event.reason) == (OPERATOR.plain(), "the quota was raised")
    assert (event.cleared_errors, event.tripped_at) == (10, tripped_at)
    assert (event.last_error, event.failure_class) == ("429 Too Many Requests", "rate_limited")


def test_a_restart_resumes_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = a_failed_job(ledger)
        before = ledger.job(job_id)
    clock.advance(DAY)

    with open_ledger(tmp_path, clock, seed=1) as ledger:
        assert ledger.job(job_id) == before
        assert ledger.job_cache.due.next_at() is None


def test_run_now_does_not_resume_a_failed_job() -> None:
    job = a_job(tripped())

    with raises(JobFailed, match="force"):
        job.request_run(a_context(NOON + DAY))


# -- what it left open --------------------------------------------------------------------------


def test_a_failed_one_shot_whose_instant_is_past_is_not_resumed_without_a_next_run() -> None:
    """Number 1."""
    job = a_job(tripped(3), schedule=ONCE)

    with raises(ScheduleExhausted, match=r"run_at.*run_now"):
        job.resume(FORCE, a_context(NOON + DAY))

    assert job.status == "failed"


@pytest.mark.parametrize(
    "way",
    [ResumeOptions(force=True, run_at=NOON + 2 * DAY), ResumeOptions(force=True, run_now=True)],
)
def test_a_past_one_shot_is_resumed_with_run_at_or_run_now(way: ResumeOptions) -> None:
    """Number 1: the two options that its refusal names."""
    job = a_job(tripped(3), schedule=ONCE)

    job.resume(way, a_context(NOON + DAY))

    assert job.status == "active"
    assert job.is_run_requested or job.next_run_at == NOON + 2 * DAY


def test_a_disabled_failed_job_is_not_forced_into_one_that_never_fires() -> None:
    """Number 2."""
    job = a_job(tripped(), disabled)

    with raises(JobDisabled, match="enable it first"):
        job.resume(FORCE, a_context(NOON + DAY))

    assert job.status == "failed"


def test_forcing_a_completed_job_is_refused_and_leaves_no_event() -> None:
    """Number 3."""
    job = a_job(running(), succeeded(), schedule=ONCE)
    before = events_of(job)

    with raises(JobCompleted, match="not even with force"):
        job.resume(FORCE, a_context(NOON + DAY))

    assert events_of(job) == before


@pytest.mark.parametrize("revival", [ResumeOptions(), FORCE, ResumeOptions(run_now=True)])
def test_resuming_an_active_job_changes_nothing_and_leaves_no_event(revival: ResumeOptions) -> None:
    """Number 4."""
    job = a_job()

    changed = job.resume(revival, a_context(NOON))

    assert changed is False
    assert events_of(job) == ["job.scheduled"]


def test_the_refusal_is_one_decision_and_the_same_on_every_surface(tmp_path: Path) -> None:
    """Number 5: the domain refuses; the library says the same (HTTP is tested at its edge)."""
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = a_failed_job(ledger)
        with raises(LedgerError) as decided:
            ledger.fold(job_id).resume(ResumeOptions(), a_context(clock.at))

        with raises(LedgerError) as answered:
            ledger.resume(job_id)

    assert type(answered.value) is type(decided.value) is ForceRequired
    assert answered.value.message == decided.value.message


def test_a_paused_job_that_tripped_in_between_is_not_resumed_without_force() -> None:
    """Number 6: it was resumed by another operator, and failed, before the plain resume arrived."""
    job = a_job(paused())
    job.resume(ResumeOptions(), a_context(NOON))
    tripped()(job)

    with raises(ForceRequired):
        job.resume(ResumeOptions(), a_context(NOON + DAY))


def test_a_resume_from_what_was_read_before_the_trip_is_stale(tmp_path: Path) -> None:
    """Number 6: the expected version."""
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = ledger.schedule(a_spec()).job_id
        seen = ledger.pause(job_id).job
        assert seen is not None
        ledger.resume(job_id)
        fail_until_it_trips(ledger, job_id)
        call = replace(a_context(clock.at), revision=seen["revision"])

        with raises(StaleRevision):
            ledger.resume(job_id, force=True, context=call)


def test_the_event_records_actor_kind_and_reason_for_agents_too(tmp_path: Path) -> None:
    """Number 7."""
    with open_ledger(tmp_path) as ledger:
        ours, other = (ledger.schedule(a_spec(name=name)).job_id for name in ("a", "b"))
        ledger.pause(other)
        ledger.pause(ours, context=ledger.context("too loud", actor=AGENT, source="mcp"))
        ledger.resume(ours, context=ledger.context("quiet now", actor=AGENT, source="mcp"))

        page = ledger.queries.audit(AuditQuery(actor="phantom", kind="agent"))

    recorded = [(event["topic"], event["actor"], event["reason"]) for event in page.events]
    assert recorded == [
        ("job.paused", AGENT.plain(), "too loud"),
        ("job.resumed", AGENT.plain(), "quiet now"),
    ]


def test_the_audit_is_read_to_its_end_by_cursor_over_all_jobs(tmp_path: Path) -> None:
    """Number 7: not the newest 20 to 100 of one job."""
    with open_ledger(tmp_path) as ledger:
        for number in range(120):
            ledger.schedule(a_spec(name=f"job {number}"))
        query, seen = AuditQuery(topics=("job.scheduled",), limit=50), []

        while True:
            page = ledger.queries.audit(query)
            seen += [event["data"]["name"] for event in page.events]
            if page.following is None:
                break
            query = query.following(page.following)

    assert seen == [f"job {number}" for number in range(120)]


def test_a_forced_resume_leaves_the_evidence_of_the_storm(tmp_path: Path) -> None:
    """Number 8."""
    with open_ledger(tmp_path) as ledger:
        job_id = a_failed_job(ledger)
        before = ledger.history(job_id)

        ledger.resume(job_id, force=True)

        after = ledger.history(job_id)
    assert after[: len(before)] == before
    errors = [event["data"]["error"] for event in after if event["topic"] == "job.run_failed"]
    assert errors == ["429 Too Many Requests"] * 10


def test_a_failed_job_is_never_deleted_by_a_start(tmp_path: Path) -> None:
    """Number 9: Phantom deleted failed rows after 30 days."""
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = a_failed_job(ledger)
    clock.advance(31 * DAY)

    with open_ledger(tmp_path, clock, seed=1) as ledger:
        assert ledger.job(job_id)["status"] == "failed"
        assert ledger.job_cache.jobs[job_id].status == "failed"


def test_a_one_shot_that_trips_records_it_like_any_other_job() -> None:
    """Number 10: the notice goes out on the trip's event, which both have."""
    one_shot, recurring = a_job(schedule=ONCE), a_job()

    tripped(3)(one_shot)
    tripped(10)(recurring)

    trips = [job.pending_events[-1] for job in (one_shot, recurring)]
    assert [(trip.TOPIC, trip.threshold) for trip in trips] == [  # type: ignore[attr-defined]
        ("job.circuit_tripped", 3),
        ("job.circuit_tripped", 10),
    ]


def test_a_notice_without_an_owner_is_recorded_with_its_outcome() -> None:
    """Number 11, as far as the ledger goes: target unset, the fallback's outcome recorded."""
    job = a_job(delivery={"channel": "slack"})

    job.record(
        e.DeliveryFailed,
        a_context(),
        run_id="r",
        channel="slack",
        target=None,
        outcome="no owner is set",
    )

    assert view(job)["last_delivery"] == {
        "run_id": "r",
        "status": "failed",
        "channel": "slack",
        "target": None,
        "outcome": "no owner is set",
    }


def test_slots_skipped_during_a_run_are_in_missed() -> None:
    """Number 12: 35 hours of silence in #108."""
    job = a_job(running(), schedule=EVERY_MINUTE)

    succeeded(at=NOON + 35 * HOUR + timedelta(seconds=30))(job)

    missed = job.pending_events[-1].missed  # type: ignore[attr-defined]
    assert missed == {
        "count": 35 * 60 - 1,
        "first": "2026-03-02T12:02:00Z",
        "last": "2026-03-03T23:00:00Z",
        "cause": "overlap",
        "capped": False,
    }


@pytest.mark.parametrize("end", [succeeded(), failed()])
@pytest.mark.parametrize(("change", "status"), [(paused(), "paused"), (deleted(), "deleted")])
def test_a_pause_or_delete_during_a_run_stays_whatever_the_run_reports(
    change: Any, status: str, end: Any
) -> None:
    """Number 13 (#148)."""
    job = a_job(running(), change)

    end(job)

    assert (job.status, job.next_run_at, job.open_run) == (status, None, None)


@pytest.mark.parametrize(
    ("end", "next_run_at"), [(succeeded(), NOON + HOUR), (failed(), NOON + 1.5 * MINUTE)]
)
def test_an_edit_during_a_run_stays_whatever_the_run_reports(
    end: Any, next_run_at: datetime
) -> None:
    """Number 13."""
    job = a_job(running())
    job.amend({"schedule": HOURLY, "tags": ["new"]}, a_context(NOON + MINUTE))

    end(job)

    assert job.tags == ["new"]
    assert job.schedule["expr"] == "0 * * * *"
    assert job.next_run_at == next_run_at


def test_a_forced_resume_during_a_probe_stays_when_the_probe_reports_late() -> None:
    """Number 13: the failed probe counts as a first error of the resumed job; no new trip."""
    job = a_job(tripped(), policy={"probe_after_seconds": 60})
    assert job.probe_at is not None
    running(at=job.probe_at)(job)
    job.resume(FORCE, a_context(job.updated_at))

    failed(at=job.updated_at)(job)

    assert (job.status, job.consecutive_errors) == ("active", 1)


@pytest.mark.parametrize(("anchor", "minutes"), [("end", 11), ("grid", 10)])
def test_a_resumed_interval_job_counts_from_its_anchor_and_records_what_it_missed(
    anchor: str, minutes: int
) -> None:
    """Number 14: from now on, or on its grid."""
    schedule = {"kind": "every", "interval_seconds": 600, "anchor": anchor}
    job = a_job(paused(), schedule=schedule)

    job.resume(ResumeOptions(), a_context(NOON + HOUR + MINUTE))

    assert job.next_run_at == NOON + HOUR + minutes * MINUTE
    missed = job.pending_events[-1].missed  # type: ignore[attr-defined]
    assert (missed["count"], missed["first"], missed["cause"]) == (
        6,
        "2026-03-02T12:10:00Z",
        "paused",
    )


def test_a_recovery_spreads_jobs_of_one_cron_minute() -> None:
    """Number 15: the shift is recorded as the first fire; the one after is the slot."""
    firsts = [NOON + DAY + HOUR + timedelta(seconds=30 * place) for place in range(200)]
    jobs = [a_job(tripped(), number=n, schedule=HOURLY) for n in range(len(firsts))]

    for job, first_at in zip(jobs, firsts, strict=True):
        revival = ResumeOptions(force=True, first_at=first_at, recovery_id="R-1")
        job.resume(revival, a_context(NOON + DAY))

    assert [job.next_run_at for job in jobs] == firsts
    events = [job.pending_events[-1] for job in jobs]
    assert {event.recovery_id for event in events} == {"R-1"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("schedule", "least", "most"),
    [
        ({"kind": "every", "interval_seconds": 60}, 5 * HOUR, 6 * HOUR),
        (EVERY_MINUTE, timedelta(), 10 * MINUTE),
    ],
)
def test_how_long_ten_errors_take_shows_in_the_trip(
    schedule: dict[str, Any], least: timedelta, most: timedelta
) -> None:
    """Number 16: backoff makes it hours for an interval, cron's next fire makes it minutes."""
    job = a_job(schedule=schedule)

    tripped(10)(job)

    trip = job.pending_events[-1]
    first = next(event for event in job.pending_events if isinstance(event, e.RunFailed))
    assert isinstance(trip, e.CircuitTripped)
    assert (trip.consecutive_errors, trip.threshold) == (10, 10)
    assert least <= trip.timestamp - first.timestamp <= most
    assert trip.first_error_position == job.position_of(first.originator_version, None)


@pytest.mark.parametrize("changes", [{"schedule": HOURLY}, {"tags": ["x"]}, {"enabled": False}])
def test_editing_a_failed_job_leaves_it_failed_with_nothing_to_fire(
    changes: dict[str, Any],
) -> None:
    """Number 17."""
    job = a_job(tripped())

    job.amend(changes, a_context(NOON + DAY))

    assert events_of(job)[-1] == "job.amended"
    assert (job.status, job.next_run_at) == ("failed", None)


def test_a_corrupt_row_is_named_with_its_position(tmp_path: Path) -> None:
    """Number 18."""
    with open_ledger(tmp_path) as ledger:
        row = StoredEvent(UUID(int=1), 1, "job.scheduled", b'{"name":', 41, 0, b"")

        with raises(CorruptEvent, match="position 41") as found:
            ledger.mapper.to_recorded_events([row])

    assert found.value.position == 41


def test_an_edit_leaves_id_and_history(tmp_path: Path) -> None:
    """Number 19 (#86)."""
    with open_ledger(tmp_path) as ledger:
        job_id = ledger.schedule(a_spec()).job_id
        before = ledger.history(job_id)

        answer = ledger.amend(job_id, {"task": "another"})

        assert answer.job_id == job_id
        assert ledger.history(job_id)[:1] == before
        assert ledger.job(job_id)["task"] == "another"


def test_an_agent_has_the_same_resume_with_the_same_rules(tmp_path: Path) -> None:
    """Number 20, as far as the ledger goes: plain refused, forced recorded as the agent's."""
    with open_ledger(tmp_path) as ledger:
        job_id = a_failed_job(ledger)
        agent = ledger.context("the provider is back", actor=AGENT, source="mcp")
        with raises(ForceRequired):
            ledger.resume(job_id, context=agent)

        ledger.resume(job_id, force=True, context=agent)

        last = ledger.history(job_id)[-1]
    assert (last["topic"], last["actor"], last["source"]) == (
        "job.force_resumed",
        AGENT.plain(),
        "mcp",
    )


@pytest.mark.parametrize(
    "given",
    [
        {"Enabled": False},
        {"policy": {"Trip_after": 3}},
        {"schedule": {"kind": "every", "Interval_seconds": 60}},
        {"delivery": {"channel": "slack", "Target": "owner"}},
        {"executor": {"kind": "noop", "URL": "x"}},
    ],
)
def test_a_key_in_another_case_is_refused_and_not_reinterpreted(given: dict[str, Any]) -> None:
    """Number 21: `{"Force": true}` silently meant no force."""
    with raises(UnknownField, match="unknown key"):
        a_job(**given)


# -- what the rules must not do -----------------------------------------------------------------


def test_a_requested_run_of_an_active_job_follows_the_same_rules() -> None:
    job = a_job(requested(), running(at=NOON), policy={"trip_after": 1})

    failed(at=NOON)(job)

    assert job.status == "failed"


def test_a_late_report_of_another_run_changes_nothing() -> None:
    job = a_job(running())
    over = open_run_id(job)
    succeeded()(job)
    before = events_of(job)

    with raises(RunSuperseded, match="no longer the job's open run"):
        outcomes.succeed(job, over, SUCCESS, a_context(NOON))

    assert events_of(job) == before

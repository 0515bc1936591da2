"""The state table's finer points: which refusal wins, what each decision records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest import raises

from ledger.domain.job import runs
from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.job.lifecycle import end_pause
from ledger.errors import (
    InvalidField,
    LedgerError,
    NameTaken,
    RunInProgress,
    ScheduleExhausted,
    ScheduleInPast,
)
from tests.support.builders import (
    FORCE,
    HOUR,
    HOURLY,
    MINUTE,
    NOON,
    ONCE,
    SUCCESS,
    ManualClock,
    a_context,
    a_job,
    a_spec,
    completed,
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
from tests.support.runs import claim, end

LATER = NOON + timedelta(days=1)
Change = Callable[[Job], Any]

COMMANDS: dict[str, Change] = {
    "amend": lambda job: job.amend({"tags": ["x"]}, a_context(LATER)),
    "pause": lambda job: job.pause(None, a_context(LATER)),
    "resume": lambda job: job.resume(ResumeOptions(), a_context(LATER)),
    "force": lambda job: job.resume(FORCE, a_context(LATER)),
    "run": lambda job: job.request_run(a_context(LATER)),
    "delete": lambda job: job.delete(a_context(LATER)),
}


# -- which refusal wins -------------------------------------------------------------------------

PRECEDENCE: list[tuple[tuple[Change, ...], str, str]] = [
    ((completed, deleted()), "resume", "job_not_found"),
    ((tripped(3), deleted()), "force", "job_not_found"),
    ((disabled, deleted()), "run", "job_not_found"),
    ((paused(), deleted()), "run", "job_not_found"),
    ((deleted(),), "delete", "job_not_found"),
    ((completed,), "force", "job_completed"),
    ((completed,), "run", "job_completed"),
    ((completed,), "amend", "job_completed"),
    ((completed,), "pause", "job_completed"),
    ((tripped(3), disabled), "resume", "force_required"),
    ((tripped(3), disabled), "run", "job_failed"),
    ((tripped(3), disabled), "pause", "job_failed"),
    ((paused(), disabled), "run", "job_disabled"),
    ((paused(), disabled), "resume", "job_disabled"),
    ((tripped(3), disabled), "force", "job_disabled"),
    ((paused(),), "run", "job_paused"),
    ((paused(),), "resume", "schedule_exhausted"),
    ((tripped(3),), "force", "schedule_exhausted"),
]


@pytest.mark.parametrize(("changes", "command", "code"), PRECEDENCE)
def test_a_one_shot_with_several_reasons_to_refuse_gives_the_first_of_the_order(
    changes: tuple[Change, ...], command: str, code: str
) -> None:
    """Deleted, completed, failed, disabled, paused, exhausted."""
    job = a_job(*changes, schedule=ONCE)
    before = events_of(job)

    with raises(LedgerError) as refusal:
        COMMANDS[command](job)

    assert refusal.value.code == code
    assert events_of(job) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_that_was_never_scheduled_refuses_everything_as_not_found(command: str) -> None:
    job = Job.blank(a_job().id)

    with raises(LedgerError) as refusal:
        COMMANDS[command](job)

    assert refusal.value.code == "job_not_found"
    assert not job.pending_events


# -- pause --------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [NOON, NOON - MINUTE])
def test_a_pause_until_a_past_instant_is_refused(until: Any) -> None:
    job = a_job()

    with raises(InvalidField, match="until: must be in the future"):
        job.pause(until, a_context(NOON))


@pytest.mark.parametrize(
    ("until", "kept", "is_changed"),
    [(None, LATER, False), (LATER, LATER, False), (LATER + HOUR, LATER + HOUR, True)],
)
def test_only_another_until_changes_a_pause(
    until: datetime | None, kept: datetime, is_changed: bool
) -> None:
    job = a_job(paused(LATER))

    changed = job.pause(until, a_context(NOON))

    assert changed is is_changed
    assert events_of(job) == ["job.scheduled", "job.paused", *(["job.paused"] * is_changed)]
    assert (job.status, job.paused_until, job.next_run_at) == ("paused", kept, None)


def test_a_second_until_does_not_lose_the_slots_missed_since_the_first_pause() -> None:
    job = a_job(paused(LATER))
    job.pause(LATER + HOUR, a_context(NOON + HOUR))

    end_pause(job, a_context(LATER + HOUR))

    missed = job.pending_events[-1].missed  # type: ignore[attr-defined]
    assert (missed["count"], missed["first"]) == (25 * 60, "2026-03-02T12:01:00Z")


def test_a_pause_ends_by_itself_at_its_instant() -> None:
    job = a_job(paused(LATER), schedule=HOURLY)

    assert end_pause(job, a_context(LATER))

    assert (job.status, job.next_run_at, job.paused_until) == ("active", LATER + HOUR, None)
    assert events_of(job)[-1] == "job.resumed"


@pytest.mark.parametrize("change", [paused(LATER + HOUR), paused(), tripped(), deleted()])
def test_a_pause_does_not_end_before_its_instant(change: Change) -> None:
    job = a_job(change)
    before = events_of(job)

    ended = end_pause(job, a_context(LATER))

    assert ended is False
    assert events_of(job) == before


def test_a_disabled_job_whose_pause_ends_is_active_and_still_does_not_fire() -> None:
    job = a_job(paused(LATER), disabled)

    end_pause(job, a_context(LATER))

    assert (job.status, job.enabled, job.next_run_at) == ("active", False, None)


def test_a_one_shot_whose_instant_passed_in_the_pause_is_caught_up_when_the_pause_ends() -> None:
    job = a_job(paused(LATER), schedule=ONCE)
    instant = job.owed_from

    end_pause(job, a_context(LATER))
    running(at=LATER, is_late=True)(job)

    assert job.open_run is not None
    assert (job.open_run.trigger, job.open_run.scheduled_for) == ("catch_up", instant)


# -- amend --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status"), [(None, "active"), (paused(), "paused"), (tripped(), "failed")]
)
@pytest.mark.parametrize("patch", [{"enabled": False}, {"schedule": HOURLY}, {"name": "b"}])
def test_an_amendment_never_changes_the_status(
    change: Change | None, status: str, patch: dict[str, Any]
) -> None:
    job = a_job(*([change] if change else []))

    job.amend(patch, a_context(LATER))

    assert job.status == status


def test_an_amendment_that_differs_in_nothing_is_no_event() -> None:
    job = a_job(tags=["a"])

    changed = job.amend({"tags": ["a"], "task": job.task}, a_context(NOON))

    assert changed is False
    assert events_of(job) == ["job.scheduled"]


def test_an_amendment_records_only_what_differs() -> None:
    job = a_job(tags=["a"])

    job.amend({"tags": ["a"], "task": "another"}, a_context(NOON))

    assert job.pending_events[-1].changes == {"task": "another"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "patch", "at", "next_run_at"),
    [
        ([], {"schedule": HOURLY}, NOON, NOON + HOUR),
        ([], {"task": "another"}, NOON + MINUTE / 2, NOON + MINUTE),
        ([disabled], {"enabled": True}, LATER, LATER + MINUTE),
        ([], {"enabled": False}, NOON, None),
    ],
)
def test_a_new_schedule_or_enabling_gives_a_job_its_next_fire_and_another_field_leaves_it(
    changes: list[Change], patch: dict[str, Any], at: datetime, next_run_at: datetime | None
) -> None:
    job = a_job(*changes)

    job.amend(patch, a_context(at))

    assert job.next_run_at == next_run_at


def test_a_schedule_without_a_fire_left_is_refused_for_an_active_job() -> None:
    job = a_job()

    with raises(ScheduleExhausted):
        job.amend(
            {"schedule": {"kind": "at", "at": "2026-03-02T11:00:00Z"}},
            a_context(NOON),
        )

    assert job.schedule["kind"] == "every"


def test_a_new_policy_counts_from_the_next_failure_on() -> None:
    job = a_job(tripped(4), policy={"trip_after": 10})
    job.amend({"policy": job.parsed_policy.plain() | {"trip_after": 5}}, a_context(NOON))

    tripped(1)(job)

    assert job.status == "failed"


# -- resume -------------------------------------------------------------------------------------


def test_run_at_is_when_the_job_fires_next() -> None:
    job = a_job(paused(), schedule=HOURLY)

    job.resume(ResumeOptions(run_at=NOON + 7 * MINUTE), a_context(NOON))

    assert job.next_run_at == NOON + 7 * MINUTE


def test_run_at_gives_a_past_one_shot_its_new_instant() -> None:
    job = a_job(paused(), schedule=ONCE)

    job.resume(ResumeOptions(run_at=LATER + HOUR), a_context(LATER))

    assert events_of(job)[-2:] == ["job.amended", "job.resumed"]
    assert job.schedule["at"] == "2026-03-03T13:00:00Z"
    assert job.next_run_at == LATER + HOUR


@pytest.mark.parametrize(
    ("changes", "options", "refusal"),
    [
        ([], ResumeOptions(run_at=LATER), ScheduleInPast),
        ([], ResumeOptions(run_at=LATER - MINUTE), ScheduleInPast),
        ([], ResumeOptions(run_at=LATER + HOUR, run_now=True), InvalidField),
        ([running()], ResumeOptions(run_now=True), RunInProgress),
    ],
)
def test_a_next_run_in_the_past_or_named_twice_or_beside_an_open_one_is_refused(
    changes: list[Change], options: ResumeOptions, refusal: type[LedgerError]
) -> None:
    job = a_job(*changes, paused())

    with raises(refusal):
        job.resume(options, a_context(LATER))

    assert job.status == "paused"


def test_run_now_resumes_and_requests_a_run() -> None:
    job = a_job(paused(), schedule=HOURLY)

    job.resume(ResumeOptions(run_now=True), a_context(NOON))

    assert events_of(job)[-2:] == ["job.resumed", "job.run_requested"]
    assert job.next_run_at == NOON + HOUR


# -- run ----------------------------------------------------------------------------------------


def test_a_requested_run_leaves_the_slot_where_it_is() -> None:
    job = a_job(requested(), schedule=HOURLY)
    running(at=NOON + MINUTE)(job)

    succeeded(at=NOON + 2 * MINUTE)(job)

    assert job.next_run_at == NOON + HOUR


# -- delete_after_run ---------------------------------------------------------------------------


def test_delete_after_run_deletes_and_releases_the_name_in_one_append(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = ledger.schedule(a_spec(schedule=ONCE, delete_after_run=True)).job_id
        clock.advance(MINUTE)
        claimed = claim(ledger, job_id)
        before = ledger.event_store.tail_position()

        end(ledger, claimed, SUCCESS)

        added = ledger.event_store.read(after=before, limit=10)
        assert [item.topic for item in added] == [
            "job.run_succeeded",
            "job.completed",
            "job.deleted",
            "name.released",
        ]
        assert len({item.recorded_at for item in added}) == 1
        assert ledger.schedule(a_spec(name="REPORT")).changed


@pytest.mark.parametrize(
    ("changes", "end", "status"),
    [
        ([], failed(), "active"),
        ([], succeeded(), "deleted"),
        ([paused()], succeeded(), "paused"),
    ],
)
def test_delete_after_run_deletes_an_active_job_with_its_first_success(
    changes: list[Change], end: Change, status: str
) -> None:
    job = a_job(running(), *changes, delete_after_run=True)

    end(job)

    assert job.status == status
    ended = ["job.run_succeeded", "job.completed", "job.deleted"]
    assert (events_of(job)[-3:] == ended) is (status == "deleted")


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["report", "REPORT", "\uff32eport"])
def test_a_name_belongs_to_one_job_whatever_its_case_or_form(tmp_path: Path, name: str) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.schedule(a_spec(name="Report"))

        with raises(NameTaken):
            ledger.schedule(a_spec(name=name))


def test_a_deleted_jobs_name_is_free_and_a_renamed_jobs_old_name_too(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        first = ledger.schedule(a_spec(name="a")).job_id
        second = ledger.schedule(a_spec(name="b")).job_id
        ledger.delete(first)

        ledger.amend(second, {"name": "A"})

        assert ledger.schedule(a_spec(name="b")).changed
        with raises(NameTaken):
            ledger.schedule(a_spec(name="a"))


def test_a_job_may_change_the_case_of_its_own_name(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        job_id = ledger.schedule(a_spec(name="report")).job_id

        ledger.amend(job_id, {"name": "Report"})

        with raises(NameTaken):
            ledger.schedule(a_spec(name="report"))


# -- revision -----------------------------------------------------------------------------------


def test_a_run_leaves_the_revision_and_an_edit_raises_it() -> None:
    job = a_job(running(), succeeded())
    assert (job.version, job.revision) == (3, 1)

    job.amend({"tags": ["x"]}, a_context(NOON))

    assert (job.version, job.revision) == (4, 4)


def test_the_open_run_is_named_by_its_fence() -> None:
    job = a_job()

    running()(job)

    assert job.open_run is not None
    assert job.open_run.fence == job.version
    assert open_run_id(job) == runs.run_id_of(job.id, job.version)

"""What a recovery records: its steps, and its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pytest import raises

from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.recovery import (
    ASKED,
    Recovery,
    RecoveryNotFound,
    recovery_name,
    recovery_number,
    recovery_stream,
)
from tests.support.builders import (
    FORCE,
    HOUR,
    MINUTE,
    a_context,
    an_id,
    events_of,
)
from tests.support.recovery_plans import LATER, a_tripped_job, planned


def begun(*jobs: Job, terms: Terms | None = None) -> Recovery:
    recovery = Recovery.blank(recovery_stream(1))
    recovery.plan(1, planned(*jobs, terms=terms), a_context(LATER, reason="it is over"))
    return recovery


def test_each_first_fire_is_the_slot_plus_the_offset_in_the_staggered_order() -> None:
    jobs = [a_tripped_job(number) for number in (1, 2, 3)]
    recovery = begun(*jobs, terms=Terms(rate_per_minute=4))

    for number, job in enumerate(jobs):
        recovery.step(job, a_context(LATER + number * MINUTE))

    slot = LATER + HOUR
    assert [job.next_run_at for job in jobs] == [
        slot, slot + timedelta(seconds=15), slot + timedelta(seconds=30),
    ]  # fmt: skip
    assert [job.pending_events[-1].recovery_id for job in jobs] == ["R-1"] * 3  # type: ignore[attr-defined]
    steps = [vars(event) for event in recovery.pending[1:]]
    assert [step["next_run_at"] for step in steps] == [job.next_run_at for job in jobs]
    assert [step["job_version"] for step in steps] == [job.version for job in jobs]
    assert recovery.remaining == ()


def test_the_probe_runs_at_once() -> None:
    job = a_tripped_job(1)
    recovery = begun(job, terms=Terms(probe=job.id))

    recovery.step(job, a_context(LATER))

    assert events_of(job) == ["job.force_resumed", "job.run_requested"]
    assert recovery.is_probing


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda job: job.delete(a_context(LATER)), "job_not_found"),
        (lambda job: job.resume(FORCE, a_context(LATER)), "job_not_failed"),
        (lambda job: job.amend({"enabled": False}, a_context(LATER)), "job_disabled"),
        (
            lambda job: (
                job.resume(FORCE, a_context(LATER)),
                job.pause(None, a_context(LATER)),
            ),
            "job_not_failed",
        ),
        (
            lambda job: (
                job.resume(ResumeOptions(True, run_now=True), a_context(LATER)),
                job.amend({"delete_after_run": True}, a_context(LATER)),
            ),
            "job_not_failed",
        ),
    ],
    ids=["deleted", "resumed", "disabled", "paused", "deleted after its run"],
)
def test_a_job_that_changed_since_the_plan_is_refused(change: Any, code: str) -> None:
    job = a_tripped_job(1)
    recovery = begun(job)
    change(job)
    before = job.version

    recovery.step(job, a_context(LATER))

    stepped = vars(recovery.pending[-1])
    assert (stepped["outcome"], stepped["code"]) == ("refused", code)
    assert stepped["message"]
    assert stepped["next_run_at"] is None
    assert job.version == before
    assert (recovery.resumed_count, recovery.refused_count) == (0, 1)


def test_a_step_is_taken_on_behalf_of_the_planner() -> None:
    recovery = begun(a_tripped_job(1))

    context = recovery.step_context(LATER, "c-1")

    assert (context.actor.id, context.source, context.reason) == ("olga", "library", "it is over")
    assert (context.now, context.command_id) == (LATER, "c-1")


def test_only_an_open_recovery_ends_and_only_once() -> None:
    recovery, blank = begun(a_tripped_job(1)), Recovery.blank(recovery_stream(1))

    assert recovery.abort(ASKED, 0, a_context(LATER))

    for ended in (recovery, blank):
        assert not ended.abort(ASKED, 0, a_context(LATER))
        assert not ended.complete(0, a_context(LATER))
        assert not ended.is_open
    assert recovery.remaining == (str(an_id(1)),)


def test_the_fold_of_its_events_is_the_recovery() -> None:
    jobs = [a_tripped_job(number) for number in (1, 2)]
    recovery = begun(*jobs, terms=Terms(probe=an_id(2), rate_per_minute=0.5, abort_on=None))
    for job in reversed(jobs):
        recovery.step(job, a_context(LATER))
    recovery.complete(1, a_context(LATER))

    again = Recovery.fold(recovery.id, recovery.pending)

    left_out = {"_pending_events"}
    state = {key: value for key, value in vars(recovery).items() if key not in left_out}
    assert {key: value for key, value in vars(again).items() if key not in left_out} == state


def test_names_and_streams_of_recoveries_never_change() -> None:
    assert recovery_stream(1) == UUID("946acee2-252c-5181-9abf-c3a5a49e7858")
    assert (recovery_name(1), recovery_number("R-1")) == ("R-1", 1)


@pytest.mark.parametrize("name", ["R-0", "r-1", "R-", "x", "R-01", "R-" + "9" * 40])
def test_a_name_that_no_recovery_can_have_is_not_found(name: str) -> None:
    with raises(RecoveryNotFound):
        recovery_number(name)

"""What a recovery's plan decides: which jobs it contains, in which order, and which are refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pytest import raises

from ledger.domain.job.job import Job
from ledger.domain.recovery.plan import MAX_JOBS, NothingToResume, Terms, make_plan
from ledger.domain.recovery.selection import Selection, Selector, StormMembers
from ledger.errors import InvalidField, JobDisabled, RunInProgress, ScheduleExhausted
from tests.support.builders import (
    FORCE,
    HOUR,
    NOON,
    ONCE,
    a_context,
    a_job,
    an_id,
    deleted,
    paused,
    running,
    succeeded,
    tripped,
)
from tests.support.recovery_plans import ANY, LATER, a_tripped_job, planned

NAN = float("nan")


def test_only_failed_jobs_are_resumed_and_the_others_refused_as_by_hand() -> None:
    named = Selector(job_ids=tuple(an_id(number) for number in range(1, 9)))
    disabled, one_shot = a_tripped_job(4), a_tripped_job(5, schedule=ONCE)
    disabled.amend({"enabled": False}, a_context(LATER))
    expected = [
        (a_job(number=2), "job_not_failed"),
        (a_job(paused(), number=3), "job_not_failed"),
        (disabled, "job_disabled"),
        (one_shot, "schedule_exhausted"),
        (a_job(running(), succeeded(), number=6, schedule=ONCE), "job_completed"),
        (a_job(deleted(), number=7), "job_not_found"),
        (Job.blank(an_id(8)), "job_not_found"),
    ]

    plan = planned(a_tripped_job(1), *(job for job, _ in expected), selection=named)

    assert [job.id for job in plan.jobs] == [an_id(1)]
    assert [(one.job_id, one.code) for one in plan.refused] == [
        (job.id, code) for job, code in expected
    ]
    for job, code in expected[2:4]:
        with raises((JobDisabled, ScheduleExhausted)) as by_hand:
            job.resume(FORCE, a_context(LATER))
        assert by_hand.value.code == code


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        (Selector(tag="mail"), [1, 3]),
        (Selector(failure_class="rate_limited"), [1, 2, 3]),
        (Selector(tag="mail", failure_class="timeout"), []),
        (Selector(job_ids=(an_id(3), an_id(9), an_id(3), an_id(1))), [3, 9, 1]),
        (Selector(tag="x", job_ids=(an_id(3),)), [3]),
    ],
)
def test_a_selector_proposes_the_matching_failed_jobs_and_every_named_job(
    selector: Selector, found: list[int]
) -> None:
    jobs = [
        a_tripped_job(3, tags=["mail"]),
        a_tripped_job(1, tags=["mail", "x"]),
        a_tripped_job(2),
        a_job(number=4, tags=["mail"]),
    ]

    assert selector.propose(jobs) == [an_id(number) for number in found]


def test_a_named_job_that_does_not_match_is_refused_with_a_reason() -> None:
    named = Selector(tag="mail", failure_class="timeout", job_ids=(an_id(1), an_id(2)))

    plan = planned(a_tripped_job(1), a_tripped_job(2, tags=["mail"]), selection=named)

    assert [one.code for one in plan.refused] == ["job_not_selected"] * 2
    assert "does not have the tag 'mail'" in plan.refused[0].message
    assert "failed of rate_limited, not of timeout" in plan.refused[1].message


def test_of_a_storm_the_jobs_still_failed_because_of_it_are_resumed() -> None:
    first, again, elsewhere = (a_tripped_job(number) for number in (1, 2, 3))
    trip_version = again.trip_version
    again.resume(FORCE, a_context(NOON + HOUR))
    tripped(1, failure_class="unauthorized")(again)
    storm = StormMembers("S-7", {an_id(1): {first.trip_version}, an_id(2): {trip_version}})

    proposed = storm.propose([again, elsewhere, first])
    plan = planned(first, again, selection=storm)

    assert set(proposed) == {an_id(1), an_id(2)}
    assert [job.id for job in plan.jobs] == [an_id(1)]
    [refused] = plan.refused
    assert (refused.job_id, refused.code) == (an_id(2), "job_not_selected")
    assert "was resumed after S-7 and tripped again at" in refused.message


def test_a_job_that_tripped_of_something_else_is_not_failed_because_of_the_storm() -> None:
    job = a_tripped_job(1)
    later = StormMembers("S-7", {an_id(1): {job.trip_version + 4}})

    for storm in (StormMembers("S-7", {an_id(1): set()}), later):
        [refused] = planned(job, selection=storm).refused

        assert "failed in S-7 and tripped of something else (rate_limited)" in refused.message


def test_a_job_that_waits_in_another_recovery_is_refused_with_its_name() -> None:
    plan = planned(a_tripped_job(1), a_tripped_job(2), _2="R-4")

    assert [job.id for job in plan.jobs] == [an_id(1)]
    assert plan.refused[0].code == "job_in_recovery"
    assert "R-4" in plan.refused[0].message


def test_a_plan_names_a_bounded_number_of_jobs() -> None:
    jobs = [a_tripped_job(1)] * (MAX_JOBS + 1)

    with raises(InvalidField, match="narrow it"):
        planned(*jobs)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "selector"),
        ({"tag": ""}, "selector.tag"),
        ({"tag": 7}, "selector.tag"),
        ({"failure_class": "foo"}, "selector.failure_class"),
        ({"failure_class": ""}, "selector.failure_class"),
        ({"job_ids": ()}, "selector.job_ids"),
        ({"tag": "mail", "job_ids": ()}, "selector.job_ids"),
        ({"job_ids": ("x",)}, "selector.job_ids"),
        ({"job_ids": str(an_id(1))}, "selector.job_ids"),
        ({"job_ids": an_id(1)}, "selector.job_ids"),
    ],
)
def test_an_invalid_selector_is_refused_by_its_field(given: dict[str, Any], field: str) -> None:
    with raises(InvalidField) as refused:
        Selector(**given)

    assert refused.value.facts["field"] == field


INVALID_TERMS = {
    "rate_per_minute": [0, -1, NAN, float("inf"), 601, 0.09, True, "10", None],
    "abort_on": [0, -1, 1.5, True, "3", MAX_JOBS + 1],
    "probe": ["x", str(UUID(int=1)), 1, b""],
}


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, some in INVALID_TERMS.items() for value in some]
)
def test_an_invalid_term_is_refused_by_its_field(field: str, value: Any) -> None:
    with raises(InvalidField, match=field):
        Terms(**{field: value})


@pytest.mark.parametrize(
    ("selection", "probe", "said"),
    [
        (ANY, a_job(paused(), number=2), "is paused, not failed"),
        (ANY, Job.blank(an_id(2)), "There is no job"),
        (Selector(tag="mail"), a_tripped_job(2), "does not have the tag 'mail'"),
        (StormMembers("S-7", {an_id(1): {2}}), a_tripped_job(2), "did not trip in S-7"),
        (Selector(job_ids=(an_id(1),)), a_tripped_job(2), "not one of the jobs"),
    ],
    ids=["paused", "unknown", "of another tag", "of no storm", "not named"],
)
def test_a_probe_outside_of_the_plan_is_refused_with_a_reason(
    selection: Selection, probe: Job, said: str
) -> None:
    terms = Terms(probe=an_id(2))

    with raises(InvalidField, match=f"^probe: .*{said}"):
        make_plan(selection, terms, (a_tripped_job(1),), planned_in={}, now=LATER, probe=probe)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "There is nothing to resume: no failed job matches."),
        (1, f"There is nothing to resume: Job {an_id(1)} is active, not failed"),
        (4, "all 4 are refused (job_not_failed). A dry run gives the reason for each job."),
    ],
)
def test_a_recovery_of_no_jobs_is_refused_with_a_reason(count: int, said: str) -> None:
    jobs = [a_job(number=number) for number in range(1, count + 1)]
    refused = planned(*jobs, selection=Selector(job_ids=(an_id(1),))).refused

    assert said in NothingToResume(refused).message


def test_the_probe_comes_first_whatever_the_order() -> None:
    plan = planned(*(a_tripped_job(n) for n in (1, 2, 3)), terms=Terms(probe=an_id(3)))

    assert [job.id for job in plan.jobs] == [an_id(3), an_id(1), an_id(2)]


def test_a_probe_with_a_run_under_way_is_refused() -> None:
    job = a_tripped_job(1, policy={"trip_after": 1, "probe_after_seconds": 60})
    running(at=LATER)(job)

    with raises(RunInProgress):
        planned(job, terms=Terms(probe=job.id))

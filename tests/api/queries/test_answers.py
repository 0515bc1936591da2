"""What the library refuses, and whom it answers; test_surfaces has the answers themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pytest import raises

from ledger import AuditQuery, Dispatcher, ExecutorSettings, Ledger
from ledger.errors import InvalidField, JobNotFound, NotFound, UnknownField
from projections import GapFilter, JobFilter, Queries, ResumeFilter, TimeRange
from tests.api.harness import Api
from tests.support.builders import HOUR, NOON, ManualClock, a_spec, an_id, open_ledger

NAIVE = datetime(2026, 3, 2, 12)
SOON, LATER = NOON - 2 * HOUR, NOON - HOUR
"""No event was recorded between them."""

Question = Callable[[Queries], Any]


def test_the_library_exports_the_lines_of_http(api: Api) -> None:
    api.failed_job()

    lines = api.get("/v1/events?format=jsonl").content.splitlines()

    exported = list(api.parts.queries.export(AuditQuery()))
    assert [orjson.loads(line) for line in lines] == orjson.loads(orjson.dumps(exported))
    assert len(lines) == api.ledger.writer.position


@pytest.mark.parametrize(
    ("field", "question"),
    [
        ("as_of", lambda ask: ask.jobs(as_of=NAIVE)),
        ("as_of", lambda ask: ask.summary(as_of=99_999)),
        ("as_of", lambda ask: ask.storms(as_of=-1)),
        ("after_position", lambda ask: ask.jobs(after_position=99_999)),
        ("status", lambda ask: ask.jobs(JobFilter("Failed"))),
        ("failure_class", lambda ask: ask.jobs(JobFilter(failure_class="bad luck"))),
        ("failure_class", lambda ask: ask.resumes(ResumeFilter(failure_class="bad luck"))),
        ("actor", lambda ask: ask.resumes(ResumeFilter(actor="nobody"))),
        ("outcome", lambda ask: ask.resumes(ResumeFilter(outcome="well"))),
        ("cause", lambda ask: ask.gaps(GapFilter(cause="rain"))),
        ("since", lambda ask: ask.gaps(GapFilter(since=NAIVE))),
        ("until", lambda ask: ask.resumes(ResumeFilter(since=NOON, until=NOON.replace(hour=1)))),
        ("topic", lambda ask: ask.audit(AuditQuery(topics=("job.exploded",)))),
        ("kind", lambda ask: ask.audit(AuditQuery(kind="robot"))),
        ("source", lambda ask: ask.export(AuditQuery(source="fax"))),
        ("since", lambda ask: ask.audit(AuditQuery(), TimeRange(since=NAIVE))),
        ("from", lambda ask: ask.diff(2, 1)),
        ("from", lambda ask: ask.diff(LATER, SOON)),
        ("until", lambda ask: ask.what_if({"trip_after": 1}, since=LATER, until=SOON)),
        ("job", lambda ask: ask.gaps(GapFilter(job=an_id(9)))),
        ("job", lambda ask: ask.resumes(ResumeFilter(job=an_id(9)))),
        ("job", lambda ask: ask.audit(AuditQuery(stream=an_id(9)))),
        ("from", lambda ask: ask.diff(NAIVE)),
        ("at", lambda ask: ask.why(first(ask), at=99_999)),
        ("until", lambda ask: ask.what_if({"trip_after": 1}, since=2, until=1)),
        ("policy", lambda ask: ask.what_if({})),
        ("policy.trip_after", lambda ask: ask.what_if({"trip_after": 0})),
    ],
)
def test_an_invalid_argument_is_refused_by_its_name(
    api: Api, field: str, question: Question
) -> None:
    api.schedule()
    api.schedule("other")

    with raises(InvalidField) as refused:
        question(api.parts.queries)
    assert refused.value.facts["field"] == field


def test_a_missing_job_storm_or_recovery_is_not_found(api: Api) -> None:
    ask = api.parts.queries

    for question in (ask.job, ask.history, ask.runs, ask.blame, ask.why):
        with raises(JobNotFound):
            question("no id")
    with raises(NotFound):
        ask.storm("S-1")
    with raises(NotFound):
        ask.storm_members("S-1")
    with raises(NotFound):
        ask.recovery("R-1")
    with raises(UnknownField):
        ask.what_if({"patience": 3})


def first(ask: Queries) -> str:
    job_id: str = ask.jobs()["jobs"][0]["id"]
    return job_id


def test_a_folder_answers_its_owner_and_a_reader_alike(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        with Queries.open(ledger) as answers:
            job_id = ledger.schedule(a_spec(name="first")).job_id
            assert answers.jobs()["jobs"][0]["name"] == "first"
        ledger.schedule(a_spec(name="second"))

        reading = Ledger.open_read_only(tmp_path / "data", clock=clock)
        with reading as reader, Queries.open(reader) as answers:
            assert [job["name"] for job in answers.jobs()["jobs"]] == ["first", "second"]
            assert answers.why(job_id)["why"]["answer"] == "waiting"
    assert not list(tmp_path.glob("data/*.tmp"))


def test_why_says_that_no_dispatcher_runs_unless_one_is_given(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = ledger.schedule(a_spec()).job_id
        clock.at = ledger.job_cache.jobs[job_id].next_run_at or clock.at
        dispatcher = Dispatcher(ledger, ExecutorSettings.of_this_process())

        with Queries.open(ledger) as answers:
            alone = answers.why(job_id)["why"]["answer"]
        with Queries.open(ledger, dispatcher=dispatcher) as answers:
            attended = answers.why(job_id)["why"]["answer"]

    assert (alone, attended) == ("node_down", "due")

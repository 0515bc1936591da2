"""POST /v1/imports: jobs of other schedulers, each imported with its history, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import raises

from api.schemas.bodies import MAX_IMPORTED
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.job.imports import parse_past
from ledger.domain.job.view import view
from ledger.errors import InvalidField, LedgerError, StorageFull
from tests.api.harness import Api, problem, serving
from tests.support.ad_hoc_command import AdHoc
from tests.support.builders import EVERY_MINUTE, HOUR, NOON, ONCE, a_spec

LAST_RUN = "2026-03-02T11:00:00Z"
ADDRESS = "/v1/imports"


def arriving(name: str = "old", *, spec: dict[str, Any] | None = None, **past: Any) -> Any:
    """One job of another scheduler."""
    return {"spec": a_spec(name=name, **(spec or {})), "origin_id": f"file:{name}", **past}


def import_jobs(api: Api, *jobs: Any, **more: Any) -> dict[str, Any]:
    """The answer to an import, which must succeed."""
    answer = api.post(ADDRESS, {"origin": "crontab", "jobs": list(jobs), **more})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def codes_of(document: dict[str, Any]) -> list[str | None]:
    """The code of each refused job, and None for each imported one."""
    return [outcome.get("refusal", {}).get("code") for outcome in document["jobs"]]


def test_each_import_is_one_append_with_the_history_and_the_source_import(api: Api) -> None:
    document = import_jobs(api, arriving(imported={"MAILTO": "ops"}, run_count=7))

    [outcome] = document["jobs"]
    events = api.ledger.history(outcome["job"]["id"])
    assert [event["topic"] for event in events] == ["job.scheduled", "job.imported"]
    assert api.get("/v1/events").json()["events"][-1]["topic"] == "name.reserved"
    assert {event["source"] for event in events} == {"import"}
    assert len({event["command_id"] for event in events}) == 1
    assert events[1]["data"] == {
        "origin": "crontab",
        "origin_id": "file:old",
        "status": "active",
        "consecutive_errors": 0,
        "last_error": None,
        "last_run_at": None,
        "run_count": 7,
        "next_run_at": outcome["job"]["next_run_at"],
        "imported": {"MAILTO": "ops"},
    }
    assert (document["imported"], document["refused"]) == (1, 0)
    assert document["position"] == api.ledger.writer.position


def test_a_refused_job_does_not_stop_the_following_ones(api: Api) -> None:
    never = {"kind": "cron", "expr": "0 0 30 2 *"}
    expected = [
        (arriving("never", spec={"schedule": never}), "schedule_never_fires"),
        ("no object", "invalid_field"),
        (arriving("b", status="resting"), "invalid_field"),
        (arriving("good"), None),
        (arriving("GOOD"), "name_taken"),
        ({"origin_id": "x"}, "invalid_field"),
        (arriving("z", surprise=1), "unknown_field"),
        (arriving("last"), None),
    ]

    document = import_jobs(api, *(job for job, _ in expected))

    assert codes_of(document) == [code for _, code in expected]
    assert (document["imported"], document["refused"]) == (2, 6)
    assert document["jobs"][1]["origin_id"] is None
    assert [job["name"] for job in api.get("/v1/jobs").json()["jobs"]] == ["good", "last"]


def test_a_second_import_changes_nothing(api: Api) -> None:
    first = import_jobs(api, arriving("a"), arriving("b"))

    second = import_jobs(api, arriving("a"), arriving("b"))

    assert codes_of(second) == ["name_taken"] * 2
    assert second["position"] == first["position"]


def test_a_dry_run_decides_as_the_import_does_and_commits_nothing(api: Api) -> None:
    api.schedule("taken")
    before = api.ledger.writer.position
    jobs = [arriving("taken"), arriving("new"), arriving("New"), arriving("b", status="x")]

    rehearsed = import_jobs(api, *jobs, dry_run=True)

    assert api.ledger.writer.position == rehearsed["position"] == before
    kept = import_jobs(api, *jobs)
    assert codes_of(kept) == ["name_taken", None, "name_taken", "invalid_field"]
    assert codes_of(rehearsed) == codes_of(kept)
    assert rehearsed["jobs"][1]["job"]["id"] is None
    real = kept["jobs"][1]["job"]
    unlike = {key: real[key] for key in ("id", "created_at", "updated_at")}
    assert {**rehearsed["jobs"][1]["job"], **unlike} == real


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_job_limit_counts_imported_jobs(tmp_path: Path, dry_run: bool) -> None:
    with serving(tmp_path, max_jobs=2) as api:
        document = import_jobs(api, *(arriving(name) for name in "abc"), dry_run=dry_run)

    assert codes_of(document) == [None, None, "job_limit"]


def test_a_repeated_key_answers_the_imported_jobs_again(api: Api) -> None:
    body = {"origin": "crontab", "jobs": [arriving("a"), arriving("a"), arriving("b")]}
    headers = {"Idempotency-Key": "once"}
    first = api.post(ADDRESS, body, headers=headers).json()

    second = api.post(ADDRESS, body, headers=headers).json()

    assert second == first
    other = api.post(ADDRESS, {**body, "jobs": [arriving("c")]}, headers=headers).json()
    assert codes_of(other) == ["idempotency_mismatch"]


# -- history --------------------------------------------------------------------------------------


def test_an_imported_failed_job_resumes_only_with_force(api: Api) -> None:
    past = {"status": "failed", "consecutive_errors": 10, "last_error": "429", "run_count": 99}
    [outcome] = import_jobs(api, {**arriving(last_run_at=LAST_RUN), **past})["jobs"]
    job_id = outcome["job"]["id"]
    assert (outcome["job"]["status"], outcome["job"]["next_run_at"]) == ("failed", None)
    assert outcome["job"]["last_run"]["error"] == "429"

    refused = api.post(f"/v1/jobs/{job_id}/resume")

    problem(refused, 409, "force_required")
    job = api.post(f"/v1/jobs/{job_id}/resume", {"force": True}).json()["job"]
    assert (job["status"], job["consecutive_errors"], job["run_count"]) == ("active", 0, 99)
    event = api.ledger.history(job_id)[-1]
    assert (event["topic"], event["data"]["cleared_errors"]) == ("job.force_resumed", 10)
    assert event["data"]["trip_position"] == api.ledger.history(job_id)[1]["position"]


def test_an_imported_paused_job_resumes_with_its_error_count(api: Api) -> None:
    past = arriving("p", spec={"schedule": EVERY_MINUTE}, status="paused", run_count=5)
    [outcome] = import_jobs(api, past)["jobs"]
    api.clock.advance(HOUR)

    answer = api.post(f"/v1/jobs/{outcome['job']['id']}/resume").json()

    assert (answer["job"]["status"], answer["job"]["run_count"]) == ("active", 5)
    assert answer["job"]["next_run_at"] == "2026-03-02T13:01:00Z"
    assert api.ledger.history(outcome["job"]["id"])[-1]["data"]["missed"]["count"] == 60


def test_an_imported_completed_job_never_resumes(api: Api) -> None:
    past_instant = {"kind": "at", "at": "2020-01-01T00:00:00Z"}
    document = import_jobs(
        api,
        arriving("done", spec={"schedule": past_instant}, status="completed", run_count=1),
        arriving("late", spec={"schedule": past_instant}),
        arriving("soon", spec={"schedule": ONCE}),
    )

    done, late, soon = document["jobs"]
    problem(api.post(f"/v1/jobs/{done['job']['id']}/resume", {"force": True}), 409, "job_completed")
    assert late["refusal"]["code"] == "schedule_in_past"
    assert soon["job"]["next_run_at"] == ONCE["at"]


def test_the_first_run_of_an_imported_job_continues_its_counts(api: Api) -> None:
    [outcome] = import_jobs(api, arriving(run_count=41))["jobs"]
    job_id = outcome["job"]["id"]

    api.end_run(job_id, api.start_run(job_id))

    assert api.get(f"/v1/jobs/{job_id}").json()["job"]["run_count"] == 42


def test_read_models_of_imported_jobs_equal_the_fold_of_their_events(api: Api) -> None:
    document = import_jobs(
        api,
        *(
            arriving(status, status=status, consecutive_errors=3, run_count=9, last_run_at=LAST_RUN)
            for status in ("active", "paused", "failed", "completed")
        ),
        arriving("wrong", status="failed", last_error="boom", last_run_at=LAST_RUN),
        arriving("off", spec={"enabled": False}),
    )

    for outcome in document["jobs"]:
        job_id = UUID(outcome["job"]["id"])
        copied = api.get(f"/v1/jobs/{job_id}").json()["job"]
        assert copied == view(api.ledger.fold(job_id)) == api.ledger.job(job_id) == outcome["job"]


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "past",
    [
        {"origin_id": ""},
        {"origin_id": "x" * 501},
        {"origin_id": "a\nb"},
        {"origin_id": 7},
        {"status": "deleted"},
        {"status": None},
        {"consecutive_errors": -1},
        {"consecutive_errors": True},
        {"consecutive_errors": 1.5},
        {"run_count": 2**60},
        {"run_count": "9"},
        {"last_error": 5},
        {"last_error": "x" * 5000},
        {"last_run_at": "yesterday"},
        {"last_run_at": "2026-03-02T11:00:00"},
        {"last_run_at": 0},
        {"imported": []},
        {"imported": {"x": "y" * 70_000}},
        {"imported": {"x": 2**70}},
        {"spec": None},
        {"spec": {"name": "only"}},
        {"spec": a_spec(actor="root")},
        {"spec": a_spec(executor={"kind": "command", "argv": []})},
    ],
)
def test_an_invalid_history_is_refused_by_field(api: Api, past: dict[str, Any]) -> None:
    before = api.ledger.writer.position

    rehearsed = import_jobs(api, {**arriving(), **past}, dry_run=True)

    document = import_jobs(api, {**arriving(), **past})

    assert document == rehearsed
    assert {*codes_of(document)} <= {"invalid_field", "unknown_field", "too_large"}
    assert api.ledger.writer.position == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"origin": "crontab"},
        {"origin": "crontab", "jobs": []},
        {"origin": "crontab", "jobs": {}},
        {"origin": "crontab", "jobs": [{}] * (MAX_IMPORTED + 1)},
        {"origin": "", "jobs": [{}]},
        {"origin": "Cron Tab", "jobs": [{}]},
        {"origin": "crontab", "jobs": [{}], "dry_run": "yes"},
    ],
)
def test_an_invalid_import_is_refused_as_a_whole(api: Api, body: Any) -> None:
    problem(api.post(ADDRESS, body), 422, "invalid_field")


def test_importing_a_job_with_a_command_needs_an_admin(api: Api) -> None:
    command = {"kind": "command", "argv": ["/bin/sh", "-c", "true"]}
    body = {"origin": "crontab", "jobs": [arriving(spec={"executor": command})]}

    for role in ("operator", "viewer", "worker"):
        problem(api.post(ADDRESS, body, by=role), 403, "forbidden")
    assert api.post(ADDRESS, body).json()["imported"] == 1


@pytest.mark.parametrize(
    "imported", [{"x": object()}, {1: 2}, {"x": float("nan")}, {"x": (1,)}, {"x": NOON}]
)
def test_the_library_refuses_what_cannot_be_stored(api: Api, imported: Any) -> None:
    [refused] = api.ledger.import_jobs("crontab", [arriving(imported=imported)])

    assert isinstance(refused, InvalidField)
    assert refused.facts["field"] == "imported"


def test_a_full_disk_is_raised_and_not_answered_as_a_refusal_of_a_job(api: Api) -> None:
    def full(_: UnitOfWork) -> None:
        raise StorageFull

    with raises(StorageFull):
        api.ledger.execute_each([AdHoc(full)])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
KEYS = ("spec", "origin_id", "status", "consecutive_errors", "last_run_at", "imported", "run_count")


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING) | ANYTHING)
def test_any_history_is_parsed_or_refused(said: object) -> None:
    try:
        past = parse_past("crontab", said)
    except LedgerError:
        return
    assert past.fields(NOON)["origin"] == "crontab"


def test_the_library_imports_and_answers_the_outcome_of_each_job(api: Api) -> None:
    good, bad = api.ledger.import_jobs("crontab", [arriving("lib"), {"origin_id": "x"}])

    assert not isinstance(good, LedgerError)
    assert good.job is not None
    assert good.job["name"] == "lib"
    assert isinstance(bad, LedgerError)
    assert not isinstance(
        api.ledger.import_jobs("crontab", [arriving("y")], dry_run=True)[0], LedgerError
    )
    assert len(api.ledger.job_cache.jobs) == 1

"""Pause, resume and run over HTTP: the state table of docs/states.md, and the force-resume."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.api.harness import Api, problem
from tests.support.builders import MINUTE, NOON


def test_a_blank_body_resumes_a_paused_job(api: Api) -> None:
    job_id = api.paused_job()

    answer = api.ask("POST", f"/v1/jobs/{job_id}/resume", content=b" \n ")

    assert (answer.status_code, answer.json()["changed"]) == (200, True)
    assert answer.json()["job"]["status"] == "active"
    assert api.topics(job_id)[-1] == "job.resumed"


def test_a_failed_job_resumes_only_with_force_and_the_refusal_says_how(api: Api) -> None:
    job_id = api.failed_job()

    refusal = api.post(f"/v1/jobs/{job_id}/resume")
    assert '{"force": true}' in problem(refusal, 409, "force_required")["detail"]
    assert api.topics(job_id)[-1] == "job.circuit_tripped"

    answer = api.post(f"/v1/jobs/{job_id}/resume", {"force": True, "reason": "provider is back"})
    assert answer.status_code == 200
    assert answer.json()["job"]["status"] == "active"
    assert answer.json()["job"]["consecutive_errors"] == 0
    event = api.ledger.history(job_id)[-1]
    assert (event["topic"], event["reason"]) == ("job.force_resumed", "provider is back")
    assert event["actor"] == {"id": "admin", "kind": "user"}


@pytest.mark.parametrize("body", [None, {}, {"force": True}, {"run_now": True, "force": True}])
def test_a_completed_job_never_resumes(api: Api, body: object) -> None:
    job_id = api.completed_job()

    problem(api.post(f"/v1/jobs/{job_id}/resume", body), 409, "job_completed")


def test_resuming_an_active_job_changes_nothing_and_leaves_no_event(api: Api) -> None:
    job_id = api.schedule()
    position = api.ledger.writer.position

    answer = api.post(f"/v1/jobs/{job_id}/resume", {"force": True})

    assert (answer.status_code, answer.json()["changed"]) == (200, False)
    assert answer.json()["position"] == api.ledger.writer.position == position


def test_resuming_a_past_one_shot_names_both_remedies(api: Api) -> None:
    at = (NOON + MINUTE).isoformat()
    job_id = api.paused_job(schedule={"kind": "at", "at": at})
    api.clock.advance(timedelta(hours=1))

    refusal = problem(api.post(f"/v1/jobs/{job_id}/resume"), 409, "schedule_exhausted")
    assert "run_at" in refusal["detail"]
    assert "run_now" in refusal["detail"]

    answer = api.post(f"/v1/jobs/{job_id}/resume", {"run_at": "2026-03-02T18:00:00+02:00"})
    assert answer.json()["job"]["next_run_at"] == "2026-03-02T16:00:00Z"


def test_a_pause_with_an_end_has_a_paused_until(api: Api) -> None:
    job_id = api.schedule()

    answer = api.post(f"/v1/jobs/{job_id}/pause", {"until": "2026-03-03T00:00:00Z", "reason": "x"})

    assert answer.json()["job"]["paused_until"] == "2026-03-03T00:00:00Z"


def test_a_run_is_accepted_once(api: Api) -> None:
    job_id = api.schedule()

    assert api.post(f"/v1/jobs/{job_id}/run", {"reason": "try"}).status_code == 202
    problem(api.post(f"/v1/jobs/{job_id}/run"), 409, "run_in_progress")


REFUSALS: list[tuple[Callable[[Api], str], str, int, str]] = [
    (Api.paused_job, "POST /run", 409, "job_paused"),
    (Api.failed_job, "POST /run", 409, "job_failed"),
    (Api.failed_job, "POST /pause", 409, "job_failed"),
    (Api.completed_job, "POST /run", 409, "job_completed"),
    (Api.completed_job, "POST /pause", 409, "job_completed"),
    (Api.completed_job, "PATCH ", 409, "job_completed"),
    (lambda api: api.schedule(enabled=False), "POST /run", 409, "job_disabled"),
    (lambda api: api.paused_job(enabled=False), "POST /resume", 409, "job_disabled"),
    (Api.deleted_job, "POST /run", 404, "job_not_found"),
    (Api.deleted_job, "POST /pause", 404, "job_not_found"),
    (Api.deleted_job, "POST /resume", 404, "job_not_found"),
]


@pytest.mark.parametrize(("make", "command", "status", "code"), REFUSALS)
def test_a_command_that_the_state_forbids_is_refused_without_an_event(
    api: Api, make: Callable[[Api], str], command: str, status: int, code: str
) -> None:
    job_id = make(api)
    position = api.ledger.writer.position
    method, path = command.split(" ")
    body = {"task": "x"} if method == "PATCH" else None

    refusal = problem(api.ask(method, f"/v1/jobs/{job_id}{path}", json=body), status, code)

    assert refusal["job_id"] == job_id
    assert api.ledger.writer.position == position

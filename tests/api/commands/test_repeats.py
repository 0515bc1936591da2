"""Idempotency keys repeat the first answer; stale revisions change nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api.harness import Api, problem, serving
from tests.support.builders import a_spec

KEY = {"Idempotency-Key": "order 66"}


def test_one_key_sent_fifty_times_at_once_has_one_effect_and_one_answer(api: Api) -> None:
    request = ("POST", "/v1/jobs", {"json": a_spec(), "headers": KEY})

    answers = api.ask_all([request] * 50)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert [job["name"] for job in api.get("/v1/jobs").json()["jobs"]] == ["report"]


@pytest.mark.parametrize("command", ["pause", "run", "resume"])
def test_a_repeated_command_gets_the_first_answer_whatever_happened_since(
    api: Api, command: str
) -> None:
    job_id = api.paused_job() if command == "resume" else api.schedule()
    path = f"/v1/jobs/{job_id}/{command}"
    first = api.post(path, headers=KEY)
    api.ask("PATCH", f"/v1/jobs/{job_id}", json={"name": "another", "task": "else"})
    position = api.ledger.writer.position

    again = api.post(path, headers=KEY)

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["etag"] == first.headers["etag"]
    assert api.ledger.writer.position == position


def test_a_repeat_is_answered_even_when_its_instant_has_passed(api: Api) -> None:
    spec = a_spec(schedule={"kind": "at", "at": "2026-03-02T12:01:00Z"})
    first = api.post("/v1/jobs", spec, headers=KEY)
    api.clock.advance(timedelta(days=1))

    assert api.post("/v1/jobs", spec, headers=KEY).content == first.content


def test_a_repeat_is_answered_after_a_restart(tmp_path: Any) -> None:
    with serving(tmp_path) as api:
        first = api.post("/v1/jobs", a_spec(), headers=KEY)

    with serving(tmp_path) as api:
        again = api.post("/v1/jobs", a_spec(), headers=KEY)

    assert (again.status_code, again.content) == (201, first.content)


def test_a_key_belongs_to_one_body(api: Api) -> None:
    api.post("/v1/jobs", a_spec(), headers=KEY)

    answer = api.post("/v1/jobs", a_spec(name="other"), headers=KEY)

    assert problem(answer, 422, "idempotency_mismatch")["key"] == "order 66"


def test_a_key_is_scoped_to_actor_and_path(api: Api) -> None:
    job_id = api.schedule()

    assert api.post(f"/v1/jobs/{job_id}/pause", headers=KEY).json()["changed"] is True
    assert api.post(f"/v1/jobs/{job_id}/resume", headers=KEY).json()["changed"] is True
    repeated = api.post(f"/v1/jobs/{job_id}/pause", headers=KEY, by="operator")
    assert repeated.json()["job"]["version"] == 4


def test_a_refusal_or_no_change_is_not_remembered_for_a_key(api: Api) -> None:
    job_id = api.paused_job()
    problem(api.post(f"/v1/jobs/{job_id}/run", headers=KEY), 409, "job_paused")
    api.post(f"/v1/jobs/{job_id}/resume")

    assert api.post(f"/v1/jobs/{job_id}/run", headers=KEY).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "\x7f"])
def test_an_unprintable_or_too_long_key_is_refused(api: Api, key: str) -> None:
    answer = api.post("/v1/jobs", a_spec(), headers={"Idempotency-Key": key})

    assert problem(answer, 422, "invalid_field")["field"] == "Idempotency-Key"


def test_a_stale_revision_changes_nothing(api: Api) -> None:
    job_id = api.schedule()
    api.post(f"/v1/jobs/{job_id}/pause")
    stale = {"If-Match": '"1"'}

    asked = [("POST", f"/{command}", None) for command in ("pause", "resume", "run")]
    for method, path, body in [("PATCH", "", {"task": "x"}), ("DELETE", "", None), *asked]:
        answer = api.ask(method, f"/v1/jobs/{job_id}{path}", json=body, headers=stale)
        refusal = problem(answer, 412, "stale_revision")
        assert (refusal["expected"], refusal["actual"]) == (1, 2)
    assert api.topics(job_id) == ["job.scheduled", "job.paused"]


def test_the_etag_of_a_get_is_valid_for_if_match_and_runs_do_not_change_it(api: Api) -> None:
    job_id = api.schedule()
    api.end_run(job_id, api.start_run(job_id))
    tag = api.get(f"/v1/jobs/{job_id}").headers["etag"]

    answer = api.ask("PATCH", f"/v1/jobs/{job_id}", json={"task": "x"}, headers={"If-Match": tag})

    assert answer.status_code == 200
    assert answer.headers["etag"] != tag


def test_of_concurrent_changes_from_one_revision_one_wins(api: Api) -> None:
    job_id = api.schedule()
    headers = {"If-Match": '"1"'}
    requests = [
        ("PATCH", f"/v1/jobs/{job_id}", {"json": {"task": f"racer {n}"}, "headers": headers})
        for n in range(40)
    ]

    answers = api.ask_all(requests)

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 39
    won = next(answer for answer in answers if answer.status_code == 200)
    assert api.get(f"/v1/jobs/{job_id}").json()["job"] == won.json()["job"]
    assert api.topics(job_id) == ["job.scheduled", "job.amended"]


def test_if_match_star_accepts_any_revision(api: Api) -> None:
    job_id = api.schedule()

    assert api.post(f"/v1/jobs/{job_id}/pause", headers={"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize("tag", ['W/"1"', "1", '"one"', '"1", "2"', '""', '"-1"'])
def test_an_if_match_that_is_not_a_revision_is_refused(api: Api, tag: str) -> None:
    job_id = api.schedule()

    answer = api.post(f"/v1/jobs/{job_id}/pause", headers={"If-Match": tag})

    assert problem(answer, 422, "invalid_field")["field"] == "If-Match"

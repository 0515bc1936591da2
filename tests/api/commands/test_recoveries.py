"""Recoveries over HTTP: plan, start, show, abort, and refusals."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from uuid import UUID

import pytest

from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.domain.job import outcomes
from tests.api.harness import Api, problem, serving
from tests.support.builders import FAILURE, MINUTE

KEY = {"Idempotency-Key": "night shift"}
LIMITED = {"selector": {"failure_class": "rate_limited"}}
UNAUTHORIZED = outcomes.Failure("401", "unauthorized", "crm.example", None, 7)


def a_storm(api: Api, count: int = 4) -> tuple[str, list[str]]:
    """Jobs that trip together for one reason: the id of the storm, and theirs."""
    return api.storm(count, trip_after=1)


def begun(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/recoveries", LIMITED | body, by="operator")
    assert answer.status_code == 201, answer.text
    recovery: dict[str, Any] = answer.json()["recovery"]
    return recovery


def test_a_storm_is_planned_and_then_recovered(api: Api) -> None:
    storm_id, ids = a_storm(api)
    api.ask("PATCH", f"/v1/jobs/{ids[1]}", json={"enabled": False})
    api.secret_of("operator")
    path, position = f"/v1/storms/{storm_id}/resume", api.ledger.writer.position
    body = {"probe": ids[2], "rate_per_minute": 30}

    dry = api.post(path, {**body, "dry_run": True}, by="operator")

    plan = dry.json()["plan"]
    assert (dry.status_code, api.ledger.writer.position) == (200, position)
    assert [(one["job_id"], one["name"], one["step_at"][14:]) for one in plan["jobs"]] == [
        (ids[2], "job 2", "00:00Z"), (ids[0], "job 0", "00:02Z"), (ids[3], "job 3", "00:04Z"),
    ]  # fmt: skip
    assert [one["first_fire_at"][14:] for one in plan["jobs"]] == ["00:00Z", "01:04Z", "01:08Z"]
    [refused] = plan["refused"]
    assert (refused["job_id"], refused["name"], refused["code"]) == (
        ids[1], "job 1", "job_disabled",
    )  # fmt: skip
    assert (plan["storm_id"], plan["fires"]["at_once_peak"]) == (storm_id, 3)
    live = api.post(path, {**body, "reason": "lifted"}, by="operator")
    recovery = live.json()["recovery"]
    assert (live.status_code, live.headers["location"]) == (201, "/v1/recoveries/R-1")
    assert [recovery[name] for name in ("storm_id", "selector", "reason")] == [
        storm_id, None, "lifted",
    ]  # fmt: skip
    assert recovery["planned_by"] == {"id": "operator-token", "kind": "user"}
    assert [job["job_id"] for job in recovery["jobs"]] == [job["job_id"] for job in plan["jobs"]]


def test_a_storm_recovery_resumes_only_jobs_still_failed_because_of_it(api: Api) -> None:
    elsewhere = api.schedule("other", policy={"trip_after": 2, "backoff_seconds": [1]})
    storm_id, ids = a_storm(api)
    again, healthy, gone, left = ids
    api.end_run(elsewhere, api.claim_run(elsewhere), FAILURE)
    for job_id in (again, healthy):
        api.post(f"/v1/jobs/{job_id}/resume", {"force": True, "run_now": True})
    api.clock.advance(MINUTE)
    for job_id in (again, elsewhere):
        api.end_run(job_id, api.claim_run(job_id), UNAUTHORIZED)
    api.ask("DELETE", f"/v1/jobs/{gone}")

    path = f"/v1/storms/{storm_id}/resume"
    plan = api.post(path, {"dry_run": True}).json()["plan"]
    probe = api.post(path, {"probe": elsewhere})

    assert [job["job_id"] for job in plan["jobs"]] == [left]
    assert {(one["job_id"], one["code"]) for one in plan["refused"]} == {
        (again, "job_not_selected"), (elsewhere, "job_not_selected"),
    }  # fmt: skip
    assert "tripped of something else" in problem(probe, 422, "invalid_field")["detail"]


def test_a_recovery_is_followed_from_its_events(api: Api) -> None:
    _, ids = a_storm(api)
    begun(api)
    answers: dict[int, tuple[Any, Any]] = {}
    with closing(RecoveryDriver(api.ledger)) as driver:
        for _ in range(6):
            one, page = api.get("/v1/recoveries/R-1").json(), api.get("/v1/recoveries").json()
            answers[one["position"]] = (one, page)
            driver.run_once()
            api.clock.advance(MINUTE)

    recovery = api.get("/v1/recoveries/R-1", by="viewer").json()["recovery"]

    assert [job["outcome"] for job in recovery["jobs"]] == ["resumed"] * 4
    assert recovery["status"] == "settling"
    assert len(answers) == 5
    for position, (one, page) in answers.items():
        assert api.get(f"/v1/recoveries/R-1?as_of={position}").json() == one
        assert api.get(f"/v1/recoveries?as_of={position}").json() == page
    history = api.get(f"/v1/jobs/{ids[0]}/events?order=desc").json()["events"]
    assert history[0]["data"]["recovery_id"] == "R-1"
    steps = api.get("/v1/events?topic=recovery.stepped&actor=operator-token").json()["events"]
    assert [event["job_id"] for event in steps] == ids


def test_an_aborted_recovery_stays_aborted(api: Api) -> None:
    a_storm(api)
    begun(api)

    first = api.post("/v1/recoveries/R-1/abort", {"reason": "not yet"}, by="operator")
    second = api.post("/v1/recoveries/R-1/abort", by="operator")

    assert (first.json()["changed"], second.json()["changed"]) == (True, False)
    assert first.json()["recovery"] == second.json()["recovery"]
    assert first.json()["recovery"]["cause"] == "asked"


def test_a_repeated_key_starts_one_recovery_and_answers_the_same(api: Api) -> None:
    storm_id, _ = a_storm(api)
    path, body = f"/v1/storms/{storm_id}/resume", {"json": {"reason": "lifted"}, "headers": KEY}

    answers = api.ask_all([("POST", path, body)] * 20)
    with closing(RecoveryDriver(api.ledger)) as driver:
        driver.run_once()
    answers.append(api.post(path, {"reason": "lifted"}, headers=KEY))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(api.get("/v1/recoveries").json()["recoveries"]) == 1
    problem(api.post(path, {"reason": "x"}, headers=KEY), 422, "idempotency_mismatch")
    stop = [api.post("/v1/recoveries/R-1/abort", headers=KEY) for _ in range(2)]
    assert stop[0].content == stop[1].content


INVALID: dict[str, list[dict[str, Any]]] = {
    "selector": [{}, {"selector": {}}, {"selector": "S-1"}],
    "selector.tag": [{"selector": {"tag": ""}}],
    "selector.job_ids": [{"selector": {"job_ids": []}}],
    "selector.job_ids.0": [{"selector": {"job_ids": ["x"]}}],
    "selector.failure_class": [{"selector": {"failure_class": "bad_luck"}}],
    "selector.status": [{"selector": {"status": "failed"}}],
    "rate_per_minute": [LIMITED | {"rate_per_minute": n} for n in (0, -3, 1e9, "10", True)],
    "abort_on": [LIMITED | {"abort_on": 0}],
    "probe": [LIMITED | {"probe": one} for one in ("nobody", str(UUID(int=9)))],
    "dry_run": [LIMITED | {"dry_run": "yes"}],
    "rate": [LIMITED | {"rate": 5}],
}
"""Bodies by the field that each is refused for."""
UNKNOWN = ("selector.status", "rate")


@pytest.mark.parametrize("field", INVALID)
def test_an_invalid_recovery_is_refused_by_field_and_leaves_no_event(api: Api, field: str) -> None:
    a_storm(api)
    position = api.ledger.writer.position
    code = "unknown_field" if field in UNKNOWN else "invalid_field"

    for body in INVALID[field]:
        assert problem(api.post("/v1/recoveries", body), 422, code)["field"] == field, body

    assert api.ledger.writer.position == position


def test_no_refusal_names_an_internal_class(api: Api) -> None:
    refused = problem(api.post("/v1/recoveries", {"selector": "S-1"}), 422, "invalid_field")

    assert refused["detail"] == "selector: must be an object"


def test_a_rate_that_is_not_a_number_is_malformed_json(api: Api) -> None:
    body = b'{"selector": {"tag": "x"}, "rate_per_minute": NaN}'

    problem(api.post("/v1/recoveries", content=body), 400, "malformed_json")


def test_a_recovery_without_jobs_is_refused_and_its_dry_run_answered(api: Api) -> None:
    storm_id, ids = a_storm(api)
    for job_id in ids:
        api.ask("PATCH", f"/v1/jobs/{job_id}", json={"enabled": False})
    path, position = f"/v1/storms/{storm_id}/resume", api.ledger.writer.position

    refusal = problem(api.post(path), 409, "nothing_to_resume")
    dry = api.post(path, {"dry_run": True})

    assert refusal["refused_count"] == 4
    assert "job_disabled" in refusal["detail"]
    assert (dry.json()["plan"]["jobs"], dry.json()["plan"]["refused_count"]) == ([], 4)
    problem(api.post("/v1/recoveries", {"selector": {"tag": "none"}}), 409, "nothing_to_resume")
    assert api.ledger.writer.position == position


def test_a_storm_or_recovery_that_does_not_exist_is_not_found(api: Api) -> None:
    for storm_id in ("S-1", "s-1", "x"):
        problem(api.post(f"/v1/storms/{storm_id}/resume"), 404, "not_found")
    for recovery_id in ("R-1", "7", "R-0"):
        problem(api.get(f"/v1/recoveries/{recovery_id}"), 404, "not_found")
        problem(api.post(f"/v1/recoveries/{recovery_id}/abort"), 404, "not_found")


def test_a_recovery_needs_a_reason_where_the_settings_require_one(tmp_path: Any) -> None:
    with serving(tmp_path, require_reason=True) as api:
        storm_id, _ = a_storm(api)
        path = f"/v1/storms/{storm_id}/resume"

        problem(api.post(path), 422, "invalid_field")

        assert api.post(path, {"dry_run": True}).status_code == 200
        assert api.post(path, {"reason": "lifted"}).status_code == 201

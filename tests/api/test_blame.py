"""Blame over HTTP: the event that set each field."""

from __future__ import annotations

from typing import Any

from tests.api.harness import Api, problem


def fields(api: Api, job_id: str, as_of: int | None = None) -> dict[str, dict[str, Any]]:
    query = {} if as_of is None else {"as_of": as_of}
    answer = api.get(f"/v1/jobs/{job_id}/blame", params=query, by="viewer")
    assert answer.status_code == 200, answer.text
    return {item["field"]: item for item in answer.json()["blame"]["fields"]}


def test_each_field_names_value_event_actor_time_and_reason(api: Api) -> None:
    job_id = api.schedule()
    api.ask("PATCH", f"/v1/jobs/{job_id}", json={"policy": {"trip_after": 7}}, by="operator")
    amended = api.ledger.writer.position
    api.post(f"/v1/jobs/{job_id}/pause", {"reason": "too noisy"})

    found = fields(api, job_id)

    assert found["policy.trip_after"]["value"] == 7
    assert found["policy.trip_after"]["actor"]["id"] == "operator-token"
    assert found["policy.trip_after"]["position"] == amended
    assert found["policy.catch_up"]["topic"] == "job.scheduled"
    assert found["status"].items() >= {"value": "paused", "reason": "too noisy"}.items()
    assert found["next_run_at"]["topic"] == "job.paused"
    assert fields(api, job_id, amended)["status"]["value"] == "active"


def test_blame_covers_deleted_jobs_and_refuses_unknown_ones(api: Api) -> None:
    assert fields(api, api.deleted_job())["status"]["topic"] == "job.deleted"
    missing = "00000000-0000-4000-8000-000000000001"
    problem(api.get(f"/v1/jobs/{missing}/blame"), 404, "job_not_found")

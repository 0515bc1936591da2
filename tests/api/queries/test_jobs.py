"""Jobs over HTTP: schedule, show, amend, delete, with the shape of each answer."""

from __future__ import annotations

from typing import Any

import pytest

from api.schemas.bodies import JobPatch, JobSpec
from ledger.domain.job.spec import FIELDS
from tests.api.harness import ROLES, Api, problem
from tests.support.builders import a_spec

JOB_FIELDS = {
    "id", "name", "description", "status", "enabled", "schedule", "task", "executor", "delivery",
    "policy", "tags", "delete_after_run", "next_run_at", "paused_until", "open_run", "last_run",
    "last_delivery", "consecutive_errors", "consecutive_losses", "run_count", "version", "revision",
    "created_at", "created_by", "updated_at",
}  # fmt: skip


def test_a_new_job_is_answered_with_its_location_and_revision(api: Api) -> None:
    answer = api.post("/v1/jobs", a_spec(tags=["daily"]))

    assert answer.status_code == 201
    assert answer.json().keys() == {"job", "changed", "position"}
    job = answer.json()["job"]
    assert job.keys() == JOB_FIELDS
    assert answer.json()["changed"] is True
    assert answer.json()["position"] == api.ledger.writer.position
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["etag"] == f'"{job["revision"]}"'
    assert job["created_by"] == {"id": "admin", "kind": "user"}


def test_a_read_after_a_command_equals_the_commands_answer(api: Api) -> None:
    job_id = api.schedule()

    for turn in range(30):
        changed = api.ask("PATCH", f"/v1/jobs/{job_id}", json={"task": f"turn {turn}"})
        assert api.get(f"/v1/jobs/{job_id}").json() == {"job": changed.json()["job"]}


def test_a_job_is_found_by_each_filter(api: Api) -> None:
    api.schedule("alpha report", tags=["nightly"])
    api.schedule("beta")
    api.paused_job("gamma")
    api.failed_job("delta")

    def names(query: str) -> list[str]:
        return [job["name"] for job in api.get(f"/v1/jobs{query}").json()["jobs"]]

    assert names("") == ["alpha report", "beta", "gamma", "delta"]
    assert names("?status=paused") == ["gamma"]
    assert names("?tag=nightly") == ["alpha report"]
    assert names("?q=report") == ["alpha report"]
    assert names("?failure_class=rate_limited") == ["delta"]


def test_pages_of_jobs_join_into_the_whole(api: Api) -> None:
    for number in range(7):
        api.schedule(f"job {number}")

    seen, cursor = [], ""
    for size in (3, 3, 1):
        page = api.get(f"/v1/jobs?limit=3{cursor}").json()
        assert len(page["jobs"]) == size
        seen += [job["name"] for job in page["jobs"]]
        cursor = f"&cursor={page['next']}"

    assert page["next"] is None
    assert seen == [f"job {number}" for number in range(7)]


def test_a_merge_patch_changes_only_the_keys_it_has(api: Api) -> None:
    job_id = api.schedule(description="before", tags=["kept"])

    answer = api.ask("PATCH", f"/v1/jobs/{job_id}", json={"description": None})

    assert answer.status_code == 200
    assert answer.json()["job"]["description"] is None
    assert answer.json()["job"]["tags"] == ["kept"]
    assert api.topics(job_id) == ["job.scheduled", "job.amended"]


def test_a_patch_that_changes_nothing_leaves_no_event(api: Api) -> None:
    job_id = api.schedule()
    position = api.ledger.writer.position

    answer = api.ask("PATCH", f"/v1/jobs/{job_id}", json={"name": "report"})

    assert (answer.status_code, answer.json()["changed"]) == (200, False)
    assert api.ledger.writer.position == position


def test_a_deleted_job_is_not_found_but_its_history_and_runs_are(api: Api) -> None:
    job_id = api.deleted_job()

    problem(api.get(f"/v1/jobs/{job_id}"), 404, "job_not_found")
    problem(api.ask("DELETE", f"/v1/jobs/{job_id}"), 404, "job_not_found")
    topics = [event["topic"] for event in api.get(f"/v1/jobs/{job_id}/events").json()["events"]]
    assert topics == ["job.scheduled", "job.deleted"]
    assert api.get(f"/v1/jobs/{job_id}/runs").json()["runs"] == []


def test_a_delete_records_its_reason(api: Api) -> None:
    job_id = api.schedule()

    answer = api.ask("DELETE", f"/v1/jobs/{job_id}", json={"reason": "moved"})

    assert answer.json()["job"]["status"] == "deleted"
    assert api.ledger.history(job_id)[-1]["reason"] == "moved"


@pytest.mark.parametrize("path", ["", "/events", "/runs"])
@pytest.mark.parametrize("job_id", ["7", "00000000-0000-4000-8000-000000000000", "%00", "é"])
def test_an_id_that_names_no_job_is_not_found(api: Api, job_id: str, path: str) -> None:
    problem(api.get(f"/v1/jobs/{job_id}{path}"), 404, "job_not_found")


def test_after_position_beyond_the_ledger_is_refused(api: Api) -> None:
    api.schedule()
    end = api.ledger.writer.position

    assert api.get(f"/v1/jobs?after_position={end}").json()["position"] == end
    for path in ("/v1/jobs", "/v1/summary", "/v1/events"):
        body = problem(api.get(f"{path}?after_position={end + 1}"), 422, "invalid_field")
        assert body["field"] == "after_position"


def test_a_read_model_that_is_not_updated_is_behind(api: Api) -> None:
    api.schedule()
    api.parts.read_models.wait_for(api.ledger.writer.position)
    api.parts.read_models.close()
    api.parts.read_models.wait_seconds = 0.05
    api.post("/v1/jobs", a_spec(name="another"))

    answer = api.get("/v1/jobs")

    problem(answer, 503, "behind")
    assert answer.headers["retry-after"] == "1"


def test_openapi_documents_every_key_of_a_job() -> None:
    assert set(JobSpec.model_fields) == set(JobPatch.model_fields) == set(FIELDS)


def test_openapi_names_the_role_of_every_route(api: Api) -> None:
    document: dict[str, Any] = api.get("/v1/openapi.json", by=None).json()

    operations = [
        op for path, ops in document["paths"].items() if "/v1/" in path for op in ops.values()
    ]
    assert len(operations) >= 16
    assert {operation["x-role"] for operation in operations} == {*ROLES, "run"}

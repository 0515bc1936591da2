"""Phantom's routes: pause, resume, delete, and the audit of them."""

from __future__ import annotations

import pytest

from tests.api.harness import Api, error
from tests.api.phantom.scheduler import PATH, audit, changes, create, job_in


def test_an_active_job_is_paused(api: Api) -> None:
    job = create(api)

    paused = job_in(api.post(f"{PATH}/{job['id']}/pause", by="operator"))

    assert (paused["status"], paused["nextRunAt"]) == ("paused", None)


def test_pausing_a_paused_or_failed_job_changes_nothing(api: Api) -> None:
    for job_id, status in ((api.paused_job(), "paused"), (api.failed_job(), "failed")):
        before = api.topics(job_id)

        assert job_in(api.post(f"{PATH}/{job_id}/pause"))["status"] == status

        assert api.topics(job_id) == before


def test_a_pause_from_an_old_revision_is_still_refused(api: Api) -> None:
    job_id = api.failed_job()

    error(api.ask("POST", f"{PATH}/{job_id}/pause", headers={"If-Match": '"1"'}), 412)


def test_pausing_a_completed_job_is_a_409(api: Api) -> None:
    error(api.post(f"{PATH}/{api.completed_job()}/pause"), 409)


@pytest.mark.parametrize("body", [b"", b" \n\t", b"{}", b'{"force": false}', b'{"force": true}'])
def test_a_paused_job_resumes_with_any_body(api: Api, body: bytes) -> None:
    job_id = api.paused_job()

    job = job_in(api.ask("POST", f"{PATH}/{job_id}/resume", content=body))

    assert (job["status"], job["consecutiveErrors"]) == ("active", 0)
    assert api.topics(job_id)[-1] == "job.resumed"


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"force": false}'])
def test_a_failed_job_without_force_is_a_409_that_names_it(api: Api, body: bytes) -> None:
    job_id = api.failed_job()

    words = error(api.ask("POST", f"{PATH}/{job_id}/resume", content=body), 409)

    assert '{"force": true}' in words
    assert api.topics(job_id)[-1] == "job.circuit_tripped"


def test_force_resumes_a_failed_job_and_resets_its_errors(api: Api) -> None:
    job_id = api.failed_job()

    job = job_in(api.post(f"{PATH}/{job_id}/resume", {"force": True}))

    assert (job["status"], job["consecutiveErrors"]) == ("active", 0)
    assert job["nextRunAt"] > job["updatedAt"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b'"force"', b'{"force": "true"}', b'{"force": 1}', b'{"force": null}']
    + [b'{"Force": true}', b'{"force": true, "forced": true}', b'{"force": true, "force": false}'],
)
def test_an_ambiguous_resume_is_a_400(api: Api, body: bytes) -> None:
    job_id = api.failed_job()

    error(api.ask("POST", f"{PATH}/{job_id}/resume", content=body), 400)

    assert job_in(api.get(f"{PATH}/{job_id}"))["status"] == "failed"


@pytest.mark.parametrize("body", [{}, {"force": True}])
def test_a_completed_job_never_resumes(api: Api, body: dict[str, bool]) -> None:
    job_id = api.completed_job()

    error(api.post(f"{PATH}/{job_id}/resume", body), 409)

    assert api.topics(job_id)[-1] == "job.completed"


def test_a_deleted_job_is_not_found_but_its_audit_is(api: Api) -> None:
    job = create(api)

    answer = api.ask("DELETE", f"{PATH}/{job['id']}")

    assert answer.json() == {"deleted": True}
    error(api.get(f"{PATH}/{job['id']}"), 404)
    error(api.ask("DELETE", f"{PATH}/{job['id']}"), 404)
    assert changes(api, job["id"]) == [("create", None, "active"), ("delete", "active", None)]


def test_the_audit_has_every_change_newest_first(api: Api) -> None:
    job = create(api)
    api.post(f"{PATH}/{job['id']}/pause", {"reason": "quiet week"})
    api.post(f"{PATH}/{job['id']}/resume")
    api.post(f"{PATH}/{job['id']}/run")

    newest, *_, oldest = audit(api, job["id"])

    assert changes(api, job["id"]) == [
        ("create", None, "active"),
        ("pause", "active", "paused"),
        ("resume", "paused", "active"),
        ("run", "active", "active"),
    ]
    assert newest["id"] > oldest["id"]
    assert oldest == {
        "id": oldest["id"],
        "job_id": job["id"],
        "job_name": "hn-digest",
        "action": "create",
        "previous_status": None,
        "new_status": "active",
        "actor": "user",
        "detail": None,
        "created_at": "2026-03-02T12:00:00Z",
    }
    assert [entry["detail"] for entry in audit(api, job["id"])] == [None, None, "quiet week", None]


def test_a_force_resume_is_audited_as_a_resume_from_failed_with_its_reason(api: Api) -> None:
    job_id = api.failed_job()
    api.post(f"{PATH}/{job_id}/resume", {"force": True, "reason": "the provider is back"})

    [entry, _] = audit(api, job_id)

    assert changes(api, job_id)[-1] == ("resume", "failed", "active")
    assert "forced" in entry["detail"]
    assert "the provider is back" in entry["detail"]


def test_a_refused_or_unchanged_command_is_not_in_the_audit(api: Api) -> None:
    job_id = api.failed_job()
    api.post(f"{PATH}/{job_id}/pause")
    api.post(f"{PATH}/{job_id}/resume")
    api.post(f"{PATH}/{job_id}/run")

    assert changes(api, job_id) == [("create", None, "active")]


def test_a_change_by_an_agent_is_audited_as_the_agents(api: Api) -> None:
    job = create(api)
    _, secret = api.parts.tokens.create("bot", "operator", "agent", None, api.ledger.context())

    api.post(f"{PATH}/{job['id']}/pause", by=secret)

    assert [entry["actor"] for entry in audit(api, job["id"])] == ["agent", "user"]


def test_the_audit_ends_at_its_limit_with_the_right_previous_status(api: Api) -> None:
    job = create(api)
    for _ in range(60):
        api.ledger.pause(job["id"])
        api.ledger.resume(job["id"])

    assert len(api.get(f"{PATH}/{job['id']}/audit").json()["entries"]) == 20
    assert len(audit(api, job["id"], limit=99999)) == 100
    [newest] = audit(api, job["id"], limit=1)
    assert (newest["action"], newest["previous_status"]) == ("resume", "paused")


@pytest.mark.parametrize("limit", ["-5", "0", "x", "", "1&limit=2", "1&actor=me"])
def test_an_invalid_limit_is_a_400(api: Api, limit: str) -> None:
    job = create(api)

    error(api.get(f"{PATH}/{job['id']}/audit?limit={limit}"), 400)


def test_an_amended_job_is_audited_under_its_new_name(api: Api) -> None:
    job = create(api)
    api.ask("PATCH", f"/v1/jobs/{job['id']}", json={"name": "digest"})
    api.ask("PATCH", f"/v1/jobs/{job['id']}", json={"task": "other"})

    [entry] = audit(api, job["id"])

    assert entry["job_name"] == "digest"

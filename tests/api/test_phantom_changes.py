"""Phantom's routes: pause, resume, run, delete, and the audit of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from api import awaiting
from ledger.domain import outcomes
from ledger.store import commands
from ledger.store.records import Recorded
from tests.api.harness import Api, error
from tests.api.test_phantom import FAILURE, PATH, create, job_in

OUTPUT = outcomes.Success(output="Hello", output_bytes=5, output_sha256="0" * 64, duration_ms=5)


def claim(api: Api, job_id: str) -> str:
    """Start what was asked for, as a dispatcher would; the run's id."""
    call = api.ledger.call()
    claimed = api.ledger.ask(commands.claim(UUID(job_id), call, node="node-1", is_late=False))
    assert claimed is not None, "nothing was due"
    return claimed.run.run_id


def ending(api: Api, job_id: str, outcome: commands.Report) -> Callable[[], None]:
    """What a dispatcher does: start what was asked for, and report how it ended."""
    return lambda: api.end_run(job_id, claim(api, job_id), outcome)


def audit(api: Api, job_id: str, limit: int = 20) -> list[dict[str, Any]]:
    answer = api.get(f"{PATH}/{job_id}/audit?limit={limit}")
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["entries"]
    return entries


def changes(api: Api, job_id: str) -> list[tuple[str, str | None, str | None]]:
    """Action, status before, status after: oldest first."""
    return [
        (entry["action"], entry["previous_status"], entry["new_status"])
        for entry in reversed(audit(api, job_id))
    ]


# -- pause ----------------------------------------------------------------------------------------


def test_an_active_job_is_paused(api: Api) -> None:
    job = create(api)

    paused = job_in(api.post(f"{PATH}/{job['id']}/pause", by="operator"))

    assert (paused["status"], paused["nextRunAt"]) == ("paused", None)


def test_pausing_what_is_paused_or_failed_changes_nothing(api: Api) -> None:
    for job_id, status in ((api.paused_job(), "paused"), (api.failed_job(), "failed")):
        before = api.topics(job_id)

        assert job_in(api.post(f"{PATH}/{job_id}/pause"))["status"] == status

        assert api.topics(job_id) == before


def test_a_pause_from_an_old_revision_is_refused_all_the_same(api: Api) -> None:
    job_id = api.failed_job()

    error(api.ask("POST", f"{PATH}/{job_id}/pause", headers={"If-Match": '"1"'}), 412)


def test_pausing_what_is_completed_is_a_409(api: Api) -> None:
    error(api.post(f"{PATH}/{api.completed_job()}/pause"), 409)


# -- resume ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b" \n\t", b"{}", b'{"force": false}', b'{"force": true}'])
def test_a_paused_job_comes_back_with_any_body(api: Api, body: bytes) -> None:
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


def test_force_revives_a_failed_job_with_a_clean_streak(api: Api) -> None:
    job_id = api.failed_job()

    job = job_in(api.post(f"{PATH}/{job_id}/resume", {"force": True}))

    assert (job["status"], job["consecutiveErrors"]) == ("active", 0)
    assert job["nextRunAt"] > job["updatedAt"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"force"',
        b'{"force": "true"}',
        b'{"force": 1}',
        b'{"force": null}',
        b'{"Force": true}',
        b'{"force": true, "forced": true}',
        b'{"force": true, "force": false}',
    ],
)
def test_a_resume_that_is_not_clear_is_a_400(api: Api, body: bytes) -> None:
    job_id = api.failed_job()

    error(api.ask("POST", f"{PATH}/{job_id}/resume", content=body), 400)

    assert job_in(api.get(f"{PATH}/{job_id}"))["status"] == "failed"


@pytest.mark.parametrize("body", [{}, {"force": True}])
def test_a_completed_job_never_comes_back(api: Api, body: dict[str, bool]) -> None:
    job_id = api.completed_job()

    error(api.post(f"{PATH}/{job_id}/resume", body), 409)

    assert api.topics(job_id)[-1] == "job.completed"


# -- run ------------------------------------------------------------------------------------------


def test_a_run_is_waited_for_and_its_output_told(api: Api) -> None:
    job_id = create(api)["id"]

    answer = api.meanwhile(f"{PATH}/{job_id}/run", ending(api, job_id, OUTPUT))

    assert answer.status_code == 200
    assert answer.json().keys() == {"result", "job"}
    assert answer.json()["result"] == "Hello"
    assert answer.json()["job"] == job_in(api.get(f"{PATH}/{job_id}"))
    assert (answer.json()["job"]["runCount"], answer.json()["job"]["lastRunStatus"]) == (1, "ok")


@pytest.mark.parametrize(
    ("outcome", "result", "status"),
    [
        (FAILURE, "Error: no money", "error"),
        ("There is no agent.", "There is no agent.", "skipped"),
    ],
)
def test_a_run_that_failed_or_was_blocked_tells_why(
    api: Api, outcome: commands.Report, result: str, status: str
) -> None:
    job_id = create(api)["id"]

    answer = api.meanwhile(f"{PATH}/{job_id}/run", ending(api, job_id, outcome))

    assert (answer.status_code, answer.json()["result"]) == (200, result)
    assert answer.json()["job"]["lastRunStatus"] == status
    assert answer.json()["job"]["lastRunError"] == result


def test_a_run_that_is_lost_is_told(api: Api) -> None:
    job_id = create(api)["id"]

    def lose() -> None:
        run_id = claim(api, job_id)
        call = api.ledger.call()
        api.ledger.ask(commands.lose(UUID(job_id), run_id, "lease_expired", call))

    answer = api.meanwhile(f"{PATH}/{job_id}/run", lose)

    assert answer.json()["result"] == "The run was lost (lease_expired)."
    assert answer.json()["job"]["lastRunStatus"] == "error"


def test_the_last_run_of_a_job_that_deletes_itself_is_told_without_a_job(api: Api) -> None:
    job_id = create(api, deleteAfterRun=True)["id"]

    answer = api.meanwhile(f"{PATH}/{job_id}/run", ending(api, job_id, OUTPUT))

    assert answer.json() == {"result": "Hello", "job": None}
    assert changes(api, job_id)[-1] == ("delete", "completed", None)


def test_a_job_deleted_while_its_run_is_under_way_still_tells_the_result(api: Api) -> None:
    job_id = create(api)["id"]

    def delete_then_end() -> None:
        run_id = claim(api, job_id)
        api.ledger.delete(job_id)
        api.end_run(job_id, run_id, OUTPUT)

    answer = api.meanwhile(f"{PATH}/{job_id}/run", delete_then_end)

    assert answer.json() == {"result": "Hello", "job": None}


@pytest.mark.parametrize("withdraw", ["pause", "delete"])
def test_a_run_that_is_withdrawn_before_it_starts_is_a_409(api: Api, withdraw: str) -> None:
    job_id = create(api)["id"]

    answer = api.meanwhile(f"{PATH}/{job_id}/run", lambda: getattr(api.ledger, withdraw)(job_id))

    assert "withdrawn" in error(answer, 409)


def test_a_run_that_does_not_end_in_time_is_a_504_and_goes_on(api: Api) -> None:
    job_id = create(api)["id"]

    error(api.post(f"{PATH}/{job_id}/run"), 504)

    ending(api, job_id, OUTPUT)()
    assert job_in(api.get(f"{PATH}/{job_id}"))["lastRunStatus"] == "ok"
    assert len(api.app.state.awaiting) == 0


def test_whoever_waits_reads_the_book_only_when_the_job_has_moved(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, other = create(api)["id"], create(api, name="other")["id"]
    read, reads = api.ledger.book.stream, []

    def counted(stream: UUID, **span: Any) -> list[Recorded]:
        reads.append(stream)
        return read(stream, **span)

    def much_happens() -> None:
        for _ in range(20):
            api.ledger.pause(other)
            api.ledger.resume(other)
        ending(api, job_id, OUTPUT)()

    monkeypatch.setattr(api.ledger.book, "stream", counted)

    assert api.meanwhile(f"{PATH}/{job_id}/run", much_happens).status_code == 200

    moves = 3  # asked for, started, ended
    assert reads.count(UUID(job_id)) <= moves + 1


def test_a_run_is_found_page_by_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = create(api)["id"]
    monkeypatch.setattr(awaiting, "PAGE", 1)

    answer = api.meanwhile(f"{PATH}/{job_id}/run", ending(api, job_id, OUTPUT))

    assert answer.json()["result"] == "Hello"


def test_a_client_that_goes_away_leaves_its_place_and_its_run(api: Api) -> None:
    job_id = create(api)["id"]

    api.leave(f"{PATH}/{job_id}/run")

    assert len(api.app.state.awaiting) == 0
    ending(api, job_id, OUTPUT)()
    assert job_in(api.get(f"{PATH}/{job_id}"))["runCount"] == 1


def test_with_no_place_left_to_wait_nothing_is_run(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = create(api)["id"]
    monkeypatch.setattr(awaiting, "MAX_PLACES", 0)

    error(api.post(f"{PATH}/{job_id}/run"), 503)

    assert api.topics(job_id) == ["job.scheduled"]


def test_a_run_of_what_does_not_run_is_a_409(api: Api) -> None:
    running = api.schedule("running")
    api.start_run(running)
    for job_id in (api.paused_job(), api.failed_job(), api.completed_job(), running):
        before = api.topics(job_id)

        error(api.post(f"{PATH}/{job_id}/run"), 409)

        assert api.topics(job_id) == before


def test_a_repeated_key_runs_once_and_is_told_the_same(api: Api) -> None:
    job_id = create(api)["id"]
    path, key = f"{PATH}/{job_id}/run", {"headers": {"Idempotency-Key": "once"}}
    assert api.ask("POST", path, **key).status_code == 504
    ending(api, job_id, OUTPUT)()
    api.app.state.awaiting.grace_seconds = 60

    answer = api.ask("POST", path, **key)

    assert (answer.status_code, answer.json()["result"]) == (200, "Hello")
    assert answer.json()["job"]["runCount"] == 1


# -- delete and audit -----------------------------------------------------------------------------


def test_a_deleted_job_is_gone_and_its_audit_stays(api: Api) -> None:
    job = create(api)

    answer = api.ask("DELETE", f"{PATH}/{job['id']}")

    assert answer.json() == {"deleted": True}
    error(api.get(f"{PATH}/{job['id']}"), 404)
    error(api.ask("DELETE", f"{PATH}/{job['id']}"), 404)
    assert changes(api, job["id"]) == [("create", None, "active"), ("delete", "active", None)]


def test_the_audit_tells_every_change_newest_first(api: Api) -> None:
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


def test_a_force_resume_is_a_resume_from_failed_that_says_so_and_why(api: Api) -> None:
    job_id = api.failed_job()
    api.post(f"{PATH}/{job_id}/resume", {"force": True, "reason": "the provider is back"})

    [entry, _] = audit(api, job_id)

    assert (entry["action"], entry["previous_status"], entry["new_status"]) == (
        "resume",
        "failed",
        "active",
    )
    assert "forced" in entry["detail"]
    assert "the provider is back" in entry["detail"]


def test_what_changes_nothing_or_is_refused_is_not_in_the_audit(api: Api) -> None:
    job_id = api.failed_job()
    api.post(f"{PATH}/{job_id}/pause")
    api.post(f"{PATH}/{job_id}/resume")
    api.post(f"{PATH}/{job_id}/run")

    assert changes(api, job_id) == [("create", None, "active")]


def test_an_agents_change_is_told_as_an_agents(api: Api) -> None:
    job = create(api)
    _, secret = api.parts.tokens.create("bot", "operator", "agent", None, api.ledger.call())

    api.post(f"{PATH}/{job['id']}/pause", by=secret)

    assert [entry["actor"] for entry in audit(api, job["id"])] == ["agent", "user"]


def test_the_audit_is_cut_at_its_limit_and_keeps_the_status_before(api: Api) -> None:
    job = create(api)
    for _ in range(60):
        api.ledger.pause(job["id"])
        api.ledger.resume(job["id"])

    assert len(api.get(f"{PATH}/{job['id']}/audit").json()["entries"]) == 20
    assert len(audit(api, job["id"], limit=99999)) == 100
    [newest] = audit(api, job["id"], limit=1)
    assert (newest["action"], newest["previous_status"]) == ("resume", "paused")


@pytest.mark.parametrize("limit", ["-5", "0", "x", "", "1&limit=2", "1&actor=me"])
def test_a_limit_that_is_none_is_a_400(api: Api, limit: str) -> None:
    job = create(api)

    error(api.get(f"{PATH}/{job['id']}/audit?limit={limit}"), 400)


def test_an_amended_job_is_audited_under_its_new_name(api: Api) -> None:
    job = create(api)
    api.ask("PATCH", f"/v1/jobs/{job['id']}", json={"name": "digest"})
    api.ask("PATCH", f"/v1/jobs/{job['id']}", json={"task": "other"})

    [entry] = audit(api, job["id"])

    assert entry["job_name"] == "digest"

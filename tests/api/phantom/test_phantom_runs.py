"""Phantom's routes: request a run and wait for it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from api.http import wait_for_run
from ledger.application.commands import runs as run_commands
from ledger.store.records import StoredEvent
from tests.api.harness import Api, error
from tests.api.phantom.scheduler import FAILURE, OUTPUT, PATH, changes, create, ending, job_in
from tests.api.server.waiting import leave, meanwhile


def test_a_run_is_answered_with_its_output(api: Api) -> None:
    job_id = create(api)["id"]

    answer = meanwhile(api, f"{PATH}/{job_id}/run", ending(api, job_id, OUTPUT))

    assert answer.status_code == 200
    assert answer.json().keys() == {"result", "job"}
    assert answer.json()["result"] == "Hello"
    assert answer.json()["job"] == job_in(api.get(f"{PATH}/{job_id}"))
    assert (answer.json()["job"]["runCount"], answer.json()["job"]["lastRunStatus"]) == (1, "ok")


NO_AGENT = "There is no agent."


@pytest.mark.parametrize(
    ("outcome", "result", "status"),
    [(FAILURE, "Error: no money", "error"), (NO_AGENT, NO_AGENT, "skipped")],
)
def test_a_failed_or_blocked_run_is_answered_with_its_error(
    api: Api, outcome: run_commands.Outcome, result: str, status: str
) -> None:
    job_id = create(api)["id"]

    answer = meanwhile(api, f"{PATH}/{job_id}/run", ending(api, job_id, outcome))

    assert (answer.status_code, answer.json()["result"]) == (200, result)
    assert answer.json()["job"]["lastRunStatus"] == status
    assert answer.json()["job"]["lastRunError"] == result


def test_a_lost_run_is_answered_as_lost(api: Api) -> None:
    job_id = create(api)["id"]

    def lose() -> None:
        run_id, call = api.claim_run(job_id), api.ledger.context()
        api.ledger.execute(run_commands.LoseRun(UUID(job_id), run_id, "lease_expired", call))

    answer = meanwhile(api, f"{PATH}/{job_id}/run", lose)

    assert answer.json()["result"] == "The run was lost (lease_expired)."
    assert answer.json()["job"]["lastRunStatus"] == "error"


def test_the_last_run_of_a_job_that_deletes_itself_is_answered_without_a_job(api: Api) -> None:
    job_id = create(api, deleteAfterRun=True)["id"]

    answer = meanwhile(api, f"{PATH}/{job_id}/run", ending(api, job_id, OUTPUT))

    assert answer.json() == {"result": "Hello", "job": None}
    assert changes(api, job_id)[-1] == ("delete", "completed", None)


def test_a_job_deleted_during_its_run_still_answers_the_result(api: Api) -> None:
    job_id = create(api)["id"]

    def delete_then_end() -> None:
        run_id = api.claim_run(job_id)
        api.ledger.delete(job_id)
        api.end_run(job_id, run_id, OUTPUT)

    answer = meanwhile(api, f"{PATH}/{job_id}/run", delete_then_end)

    assert answer.json() == {"result": "Hello", "job": None}


@pytest.mark.parametrize("withdraw", ["pause", "delete"])
def test_a_run_that_is_withdrawn_before_it_starts_is_a_409(api: Api, withdraw: str) -> None:
    job_id = create(api)["id"]

    answer = meanwhile(api, f"{PATH}/{job_id}/run", lambda: getattr(api.ledger, withdraw)(job_id))

    assert "withdrawn" in error(answer, 409)


def test_a_run_that_does_not_end_in_time_is_a_504_and_goes_on(api: Api) -> None:
    job_id = create(api)["id"]

    error(api.post(f"{PATH}/{job_id}/run"), 504)

    ending(api, job_id, OUTPUT)()
    assert job_in(api.get(f"{PATH}/{job_id}"))["lastRunStatus"] == "ok"
    assert len(api.app.state.run_waiters) == 0


def test_a_waiting_caller_reads_events_only_when_its_job_has_new_ones(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, other = create(api)["id"], create(api, name="other")["id"]
    read, reads = api.ledger.event_store.stream, []

    def counted(stream: UUID, **span: Any) -> list[StoredEvent]:
        reads.append(stream)
        return read(stream, **span)

    def much_happens() -> None:
        for _ in range(20):
            api.ledger.pause(other)
            api.ledger.resume(other)
        ending(api, job_id, OUTPUT)()

    monkeypatch.setattr(api.ledger.event_store, "stream", counted)

    assert meanwhile(api, f"{PATH}/{job_id}/run", much_happens).status_code == 200

    moves = 3  # requested, started, ended
    assert reads.count(UUID(job_id)) <= moves + 1


def test_a_run_is_found_page_by_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = create(api)["id"]
    monkeypatch.setattr(wait_for_run, "PAGE", 1)

    answer = meanwhile(api, f"{PATH}/{job_id}/run", ending(api, job_id, OUTPUT))

    assert answer.json()["result"] == "Hello"


def test_a_disconnected_client_stops_waiting_and_its_run_goes_on(api: Api) -> None:
    job_id = create(api)["id"]

    leave(api, f"{PATH}/{job_id}/run")

    assert len(api.app.state.run_waiters) == 0
    ending(api, job_id, OUTPUT)()
    assert job_in(api.get(f"{PATH}/{job_id}"))["runCount"] == 1


def test_with_too_many_waiters_no_run_is_requested(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = create(api)["id"]
    monkeypatch.setattr(wait_for_run, "MAX_WAITERS", 0)

    error(api.post(f"{PATH}/{job_id}/run"), 503)

    assert api.topics(job_id) == ["job.scheduled"]


def test_running_a_job_that_cannot_run_is_a_409(api: Api) -> None:
    running = api.schedule("running")
    api.start_run(running)
    for job_id in (api.paused_job(), api.failed_job(), api.completed_job(), running):
        before = api.topics(job_id)

        error(api.post(f"{PATH}/{job_id}/run"), 409)

        assert api.topics(job_id) == before


def test_a_repeated_key_runs_once_and_answers_the_same_result(api: Api) -> None:
    job_id = create(api)["id"]
    path, key = f"{PATH}/{job_id}/run", {"headers": {"Idempotency-Key": "once"}}
    assert api.ask("POST", path, **key).status_code == 504
    ending(api, job_id, OUTPUT)()
    api.app.state.run_waiters.grace_seconds = 60

    answer = api.ask("POST", path, **key)

    assert (answer.status_code, answer.json()["result"]) == (200, "Hello")
    assert answer.json()["job"]["runCount"] == 1

"""Previews, the summary, health, readiness and tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from api.http.errors import refused
from api.metrics.readiness import LATE_SECONDS, Lateness
from ledger import errors
from ledger.errors import LedgerError
from tests.api.harness import ROLES, Api, problem
from tests.support.builders import a_spec


def test_a_preview_has_the_next_fires_and_the_text(api: Api) -> None:
    schedule = {"kind": "cron", "expr": "0 9 * * 1-5", "tz": "Europe/Berlin"}
    body = {"schedule": schedule, "after": "2026-03-27T12:00:00Z", "count": 2}

    answer = api.post("/v1/schedules/preview", body, by="viewer")

    assert answer.json()["fires"] == ["2026-03-30T07:00:00Z", "2026-03-31T07:00:00Z"]
    assert "Monday through Friday" in answer.json()["text"]


def test_a_preview_counts_from_now_and_appends_nothing(api: Api) -> None:
    position = api.ledger.writer.position
    body = {"schedule": {"kind": "every", "interval_seconds": 60}}

    fires = api.post("/v1/schedules/preview", body).json()["fires"]

    assert fires[0] == "2026-03-02T12:01:00Z"
    assert len(fires) == 5
    assert api.ledger.writer.position == position


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"schedule": {"kind": "cron", "expr": "0 0 30 2 *"}}, "schedule_never_fires"),
        ({"schedule": {"kind": "cron", "expr": "R * * * *"}}, "schedule_invalid"),
        ({"schedule": {"kind": "at", "at": "2020-01-01T00:00:00Z"}}, "schedule_in_past"),
        ({"schedule": {"kind": "every", "interval_seconds": 60}, "count": 10**6}, "invalid_field"),
        ({"schedule": {"kind": "every", "interval_seconds": 60}, "count": "5"}, "invalid_field"),
        ({"schedule": {"kind": "every", "interval_seconds": 60}, "n": 5}, "unknown_field"),
        ({"schedule": {"kind": "every", "interval_seconds": True}}, "schedule_invalid"),
        ({}, "invalid_field"),
    ],
)
def test_a_preview_gives_the_refusal_that_scheduling_would(
    api: Api, body: dict[str, Any], code: str
) -> None:
    problem(api.post("/v1/schedules/preview", body), 422, code)


@pytest.mark.parametrize("after", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
@pytest.mark.parametrize("expr", ["0 0 29 2 *", "*/5 * * * *", "0 2 * * *"])
def test_a_preview_at_the_limits_of_time_is_answered(api: Api, expr: str, after: str) -> None:
    schedule = {"kind": "cron", "expr": expr, "tz": "America/New_York"}

    answer = api.post("/v1/schedules/preview", {"schedule": schedule, "after": after})

    assert answer.status_code in (200, 422), answer.text


def test_the_summary_counts_jobs_by_status(api: Api) -> None:
    api.schedule("one")
    api.paused_job()
    api.failed_job()
    api.schedule("off", enabled=False)

    body = api.get("/v1/summary", by="viewer").json()

    counts = {key: body["summary"][key] for key in ("total", "active", "paused", "failed")}
    assert counts == {"total": 4, "active": 2, "paused": 1, "failed": 1}
    assert body["summary"]["disabled"] == 1
    assert body["summary"]["recent_failures"][0]["failure_class"] == "rate_limited"
    assert body["position"] == api.ledger.writer.position


def test_health_and_readiness_need_no_token_and_show_no_names(api: Api) -> None:
    api.schedule("a secret name")

    assert api.get("/healthz", by=None).json() == {"status": "ok"}
    answer = api.get("/readyz", by=None)
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    names = {model["name"] for model in answer.json()["read_models"]}
    assert names == {"jobs", "runs", "storms", "resumes", "gaps"}
    assert "a secret name" not in answer.text


def test_a_job_that_will_never_fire_degrades_readiness_and_is_named(api: Api) -> None:
    job_id = api.schedule()
    api.ledger.job_cache.jobs[UUID(job_id)].next_run_at = None

    answer = api.get("/readyz", by=None)

    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["ghosts"] == [job_id]


def test_a_job_whose_pause_ended_but_is_still_paused_degrades_readiness(api: Api) -> None:
    job_id = api.schedule()
    until = (api.clock.now() + timedelta(hours=1)).isoformat()
    api.post(f"/v1/jobs/{job_id}/pause", {"until": until})
    api.clock.advance(timedelta(hours=2))

    [problem] = api.get("/readyz", by=None).json()["problems"]

    assert problem == f"Job {job_id} is still paused; its pause ended at 2026-03-02T13:00:00Z."


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/{job_id}", "/v1/summary"])
def test_a_query_that_a_stopped_read_model_cannot_answer_is_refused_at_once(
    api: Api, path: str
) -> None:
    job_id = api.schedule()
    api.get("/v1/jobs")
    with api.broken_read_model("jobs"):
        position = api.post(f"/v1/jobs/{job_id}/pause").json()["position"]

        answer = api.get(path.format(job_id=job_id))

        body = problem(answer, 503, "behind")
        assert (body["copy"], body["broken_at"]) == ("jobs", position)
        assert f"The read model jobs stopped at position {position}" in body["detail"]
        assert api.get(f"/v1/jobs/{job_id}/runs").status_code == 200
        ready = api.get("/readyz", by=None).json()
        assert ready["status"] == "degraded"
        assert f"The read model jobs stopped at position {position}." in ready["problems"]


def test_read_models_that_stay_behind_degrade_readiness(api: Api) -> None:
    api.get("/v1/jobs")
    with api.held_read_models():
        api.schedule("never seen")
        first = api.get("/readyz", by=None).json()
        api.clock.advance(timedelta(seconds=LATE_SECONDS + 1))
        later = api.get("/readyz", by=None).json()

    assert first["status"] == "ready"
    assert later["status"] == "degraded"
    assert "The read model jobs is at position" in later["problems"][0]


def test_read_models_of_a_busy_ledger_that_advance_are_not_late() -> None:
    lateness = Lateness()

    for second in range(100):
        model = {"name": "jobs", "position": second * 10, "state": "behind"}
        assert lateness.problems([model], second * 10 + 5, float(second)) == []


def test_readiness_checks_at_most_once_a_second(api: Api) -> None:
    job_id = api.schedule()
    first = api.get("/readyz", by=None).json()
    api.ledger.job_cache.jobs[UUID(job_id)].next_run_at = None

    again = api.get("/readyz", by=None).json()
    api.clock.advance(timedelta(seconds=1))
    later = api.get("/readyz", by=None).json()

    assert first == again
    assert later["ghosts"] == [job_id]


def test_without_a_writer_readiness_and_commands_are_unavailable(api: Api) -> None:
    api.ledger.writer.close()

    for answer in (api.get("/readyz", by=None), api.post("/v1/jobs", a_spec())):
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]
    assert api.get("/healthz", by=None).status_code == 200


def test_an_internal_error_is_answered_without_its_text(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("the inside")

    api.app.add_api_route("/broken", broken)

    answer = api.get("/broken", headers={"X-Request-Id": "trace-1"})

    body = problem(answer, 500, "internal_error")
    assert "inside" not in answer.text
    assert body["correlation_id"] == answer.headers["x-request-id"] == "trace-1"
    assert "trace-1" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (errors.Overloaded(8192), 503, "overloaded", "1"),
        (errors.OutcomeUnknown("disk I/O error"), 503, "outcome_unknown", "1"),
        (errors.Behind(wanted=7, reached=5), 503, "behind", "1"),
        (errors.StorageFull(), 507, "storage_full", None),
        (errors.RunSuperseded("r"), 409, "run_superseded", None),
        (errors.CorruptEvent(7, "x"), 500, "corrupt_event", None),
    ],
)
def test_errors_of_the_store_have_their_status(
    api: Api, error: LedgerError, status: int, code: str, retry_after: str | None
) -> None:
    answer = refused({"type": "http", "path": "/v1/jobs", "app": api.app}, error)

    assert (answer.status_code, orjson.loads(answer.body)["code"]) == (status, code)
    assert answer.headers.get("retry-after") == retry_after


# -- tokens -------------------------------------------------------------------------------------


def test_a_token_has_the_rights_of_its_role_until_it_is_revoked(api: Api) -> None:
    made = api.post("/v1/tokens", {"name": "ci", "role": "viewer", "kind": "agent"})
    assert made.status_code == 201
    token, secret = made.json()["token"], made.json()["secret"]

    assert api.get("/v1/jobs", by=secret).status_code == 200
    ended = api.ask("DELETE", f"/v1/tokens/{token['id']}")

    assert ended.json()["changed"] is True
    problem(api.get("/v1/jobs", by=secret), 401, "unauthenticated")
    assert api.ask("DELETE", "/v1/tokens/ci").json()["changed"] is False
    events = api.get("/v1/events?topic=token.created&topic=token.revoked").json()["events"]
    assert [event["data"]["name"] for event in events] == ["admin", "ci", "ci"]


def test_a_secret_is_shown_once_and_stored_nowhere(api: Api) -> None:
    secret = api.post("/v1/tokens", {"name": "ci", "role": "admin"}).json()["secret"]

    assert len(secret) > 43
    for path in ("/v1/tokens", "/v1/events", "/v1/events?format=csv", "/readyz"):
        assert secret not in api.get(path).text
    for file in (file for file in api.folder.rglob("*") if file.is_file()):
        assert secret.encode() not in file.read_bytes()


def test_a_token_may_expire(api: Api) -> None:
    at = (api.clock.now() + timedelta(hours=1)).isoformat()
    made = api.post("/v1/tokens", {"name": "short", "role": "viewer", "expires_at": at}).json()

    assert made["token"]["expires_at"] == "2026-03-02T13:00:00Z"
    assert api.get("/v1/jobs", by=made["secret"]).status_code == 200
    api.clock.advance(timedelta(hours=1))
    problem(api.get("/v1/jobs", by=made["secret"]), 401, "unauthenticated")
    assert api.post("/v1/tokens", {"name": "Short", "role": "viewer"}).status_code == 201


@pytest.mark.parametrize("name", ["admin", "ADMIN", "dispatcher", "Dispatcher", "library"])
def test_a_token_name_is_unique(api: Api, name: str) -> None:
    problem(api.post("/v1/tokens", {"name": name, "role": "viewer"}), 409, "name_taken")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "root"}, "role"),
        ({"kind": "robot"}, "kind"),
        ({"name": " x"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"expires_at": "2026-03-02T11:00:00Z"}, "expires_at"),
        ({"expires_at": 7}, "expires_at"),
    ],
)
def test_an_invalid_token_is_refused(api: Api, change: dict[str, Any], field: str) -> None:
    body = {"name": "ci", "role": "viewer"} | change

    assert problem(api.post("/v1/tokens", body), 422, "invalid_field")["field"] == field


@pytest.mark.parametrize("role", ROLES)
def test_the_default_kind_of_a_token_follows_its_role(api: Api, role: str) -> None:
    made = api.post("/v1/tokens", {"name": "ci", "role": role}).json()

    assert made["token"]["kind"] == ("worker" if role == "worker" else "user")


def test_an_unknown_token_cannot_be_revoked(api: Api) -> None:
    problem(api.ask("DELETE", "/v1/tokens/nobody"), 404, "not_found")


def test_of_fifty_concurrent_tokens_with_one_name_one_is_created(api: Api) -> None:
    request = ("POST", "/v1/tokens", {"json": {"name": "ci", "role": "viewer"}})

    answers = api.ask_all([request] * 50)

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49


def test_readiness_fails_while_the_writer_does_not_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.metrics.readiness.PROBE_SECONDS", 0.0)

    with api.busy_writer():
        answer = api.get("/readyz", by=None)

    assert "writer" in problem(answer, 503, "unavailable")["detail"]


def test_a_client_that_disconnects_does_not_harm_the_writer(api: Api) -> None:
    with api.busy_writer():
        api.give_up("POST", "/v1/jobs", a_spec(name="left behind"))

    api.schedule("after")
    names = [job["name"] for job in api.get("/v1/jobs").json()["jobs"]]
    assert names == ["left behind", "after"]

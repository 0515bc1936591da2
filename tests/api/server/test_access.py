"""Access: every route with no, invalid, expired and revoked tokens, and with each role."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from api import app as application
from api.app import OPEN, ROUTERS, role_of, routes_of
from api.phantom.routes import PREFIX
from api.security.attempts import MAX_ATTEMPTS
from ledger.errors import StartRefused
from ledger.store.audit_query import AuditQuery
from tests.api.harness import ROLES, Api, error, problem
from tests.support.builders import a_spec

COMMAND = {"kind": "command", "argv": ["/bin/true"]}


def routes() -> Iterator[tuple[str, str, str | None]]:
    """Method, path and role of every route."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            role = role_of(route)
            for method in sorted(route.methods or ()):
                yield method, route.path, role.name if role else None


MATRIX = {
    ("POST", "/v1/jobs"): "operator",
    ("GET", "/v1/jobs"): "viewer",
    ("GET", "/v1/jobs/{job_id}"): "viewer",
    ("PATCH", "/v1/jobs/{job_id}"): "operator",
    ("DELETE", "/v1/jobs/{job_id}"): "operator",
    ("POST", "/v1/jobs/{job_id}/pause"): "operator",
    ("POST", "/v1/jobs/{job_id}/resume"): "operator",
    ("POST", "/v1/jobs/{job_id}/run"): "operator",
    ("GET", "/v1/jobs/{job_id}/events"): "viewer",
    ("GET", "/v1/jobs/{job_id}/runs"): "viewer",
    ("GET", "/v1/jobs/{job_id}/why"): "viewer",
    ("POST", "/v1/what-if"): "viewer",
    ("GET", "/v1/jobs/{job_id}/blame"): "viewer",
    ("GET", "/v1/events"): "viewer",
    ("GET", "/v1/storms"): "viewer",
    ("GET", "/v1/storms/{storm_id}"): "viewer",
    ("GET", "/v1/resumes"): "viewer",
    ("GET", "/v1/gaps"): "viewer",
    ("POST", "/v1/storms/{storm_id}/resume"): "operator",
    ("POST", "/v1/recoveries"): "operator",
    ("GET", "/v1/recoveries"): "viewer",
    ("GET", "/v1/recoveries/{recovery_id}"): "viewer",
    ("POST", "/v1/recoveries/{recovery_id}/abort"): "operator",
    ("POST", "/v1/runs/claim"): "worker",
    ("POST", "/v1/runs/{run_id}/heartbeat"): "run",
    ("POST", "/v1/runs/{run_id}/succeed"): "run",
    ("POST", "/v1/runs/{run_id}/fail"): "run",
    ("GET", "/v1/events/stream"): "viewer",
    ("POST", "/v1/schedules/preview"): "viewer",
    ("POST", "/v1/imports"): "admin",
    ("GET", "/v1/tokens"): "admin",
    ("POST", "/v1/tokens"): "admin",
    ("DELETE", "/v1/tokens/{token}"): "admin",
    ("GET", "/metrics"): "viewer",
    ("GET", "/v1/summary"): "viewer",
    ("GET", "/v1/diff"): "viewer",
    ("GET", "/v1/evidence/head"): "viewer",
    ("GET", "/ui/api/scheduler"): "viewer",
    ("POST", "/ui/api/scheduler"): "operator",
    ("POST", "/ui/api/scheduler/preview"): "viewer",
    ("POST", "/ui/api/scheduler/parse"): "viewer",
    ("GET", "/ui/api/scheduler/{job_id}"): "viewer",
    ("DELETE", "/ui/api/scheduler/{job_id}"): "operator",
    ("GET", "/ui/api/scheduler/{job_id}/audit"): "viewer",
    ("POST", "/ui/api/scheduler/{job_id}/pause"): "operator",
    ("POST", "/ui/api/scheduler/{job_id}/resume"): "operator",
    ("POST", "/ui/api/scheduler/{job_id}/run"): "operator",
}
STREAM = "/v1/events/stream"
GUARDED = sorted(MATRIX)
ALLOWED = {
    "viewer": {"viewer", "operator", "admin"},
    "operator": {"operator", "admin"},
    "admin": {"admin"},
    "worker": {"worker", "admin"},
    "run": set[str](),  # only the token of the run itself
}


NAMED = {"token": "nobody", "run_id": "r", "storm_id": "S-1", "recovery_id": "R-1"}


def _ask(api: Api, method: str, path: str, by: str | None) -> httpx.Response:
    named = {**NAMED, "job_id": api.schedule(f"for {by}")}
    options: dict[str, Any] = {}
    if path == STREAM:  # never ends; after the check of the role it is refused for its position
        options["params"] = {"after_position": 10**6}
    return api.ask(method, path.format_map(named), by=by, **options)


def refusal(path: str, answer: httpx.Response, status: int, code: str) -> None:
    """The refusal in the form of its path."""
    if path.startswith(PREFIX):
        error(answer, status)
    else:
        problem(answer, status, code)


def test_every_route_is_in_the_matrix_with_the_role_it_declares() -> None:
    declared = {(method, path): role for method, path, role in routes() if path not in OPEN}

    assert declared == MATRIX


def test_the_open_routes_are_the_known_ones(api: Api) -> None:
    served = {route.path for route in routes_of(api.app)}

    assert served - {path for _, path in MATRIX} == OPEN


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_route_with_a_role_refuses_unauthenticated_callers(
    api: Api, method: str, path: str
) -> None:
    tokens, call = api.parts.tokens, api.ledger.context()
    soon = api.clock.now() + timedelta(minutes=1)
    _, expired = tokens.create("short", "admin", "user", soon, call)
    _, revoked = tokens.create("ended", "admin", "user", None, call)
    tokens.revoke("ended", call)
    api.clock.advance(timedelta(minutes=1))
    position = api.ledger.writer.position
    path = path.format(job_id="00000000-0000-4000-8000-000000000000", **NAMED)

    for by in (None, "jl_wrong", "", expired, revoked, "Bearer", "x" * 9000):
        answer = api.ask(method, path, by=by)
        refusal(path, answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert api.ledger.writer.position == position


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_each_role_is_allowed_what_the_matrix_says(
    api: Api, method: str, path: str, role: str
) -> None:
    answer = _ask(api, method, path, role)

    if role not in ALLOWED[MATRIX[method, path]]:
        refusal(path, answer, 403, "forbidden")
    else:
        assert answer.status_code not in (401, 403), answer.text


@pytest.mark.parametrize("header", ["Basic YTpi", "jl_x", "Bearer", "bearer  ", "Digest a=b"])
def test_other_authorization_schemes_are_unauthenticated(api: Api, header: str) -> None:
    headers = {"Authorization": header}

    problem(api.get("/v1/jobs", by=None, headers=headers), 401, "unauthenticated")


def test_a_route_without_a_role_refuses_the_start() -> None:
    router = APIRouter()

    @router.get("/v1/forgotten")
    async def forgotten() -> None: ...

    with pytest.raises(StartRefused, match="/v1/forgotten"):
        application._declare_roles(router)


def test_only_admins_schedule_a_job_with_a_command(api: Api) -> None:
    spec = a_spec(executor=COMMAND)
    problem(api.post("/v1/jobs", spec, by="operator"), 403, "forbidden")
    assert api.post("/v1/jobs", spec).status_code == 201
    plain = api.schedule("plain")

    answer = api.ask("PATCH", f"/v1/jobs/{plain}", json={"executor": COMMAND}, by="operator")

    problem(answer, 403, "forbidden")


@pytest.mark.parametrize("patch", [{"task": "x"}, {"executor": {"argv": ["/bin/sh"]}}, {}])
def test_only_admins_change_a_job_that_runs_a_command(api: Api, patch: dict[str, Any]) -> None:
    job_id = api.schedule(executor=COMMAND)
    path = f"/v1/jobs/{job_id}"

    problem(api.ask("PATCH", path, json=patch, by="operator"), 403, "forbidden")

    assert api.topics(job_id) == ["job.scheduled"]
    assert api.ask("PATCH", path, json=patch).status_code == 200
    assert api.post(f"{path}/pause", by="operator").status_code == 200


def test_too_many_invalid_tokens_are_limited_but_a_valid_one_still_works(api: Api) -> None:
    for _ in range(MAX_ATTEMPTS):
        problem(api.get("/v1/jobs", by="jl_wrong"), 401, "unauthenticated")

    answer = api.get("/v1/jobs", by="jl_wrong")

    problem(answer, 429, "too_many_attempts")
    assert answer.headers["retry-after"] == "60"
    assert api.get("/v1/jobs").status_code == 200
    api.clock.advance(timedelta(minutes=1))
    problem(api.get("/v1/jobs", by="jl_wrong"), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("given", "source"),
    [("cli", "cli"), ("mcp", "mcp"), ("http", "http"), ("dispatcher", "http"), ("ui", "http")],
)
def test_a_client_may_name_its_source_but_not_the_page(api: Api, given: str, source: str) -> None:
    api.post("/v1/jobs", a_spec(), headers={"X-Jobledger-Source": given})

    assert api.get("/v1/events").json()["events"][-1]["source"] == source


def test_the_actor_is_the_token_whatever_the_body_says(api: Api) -> None:
    answer = api.post("/v1/jobs", a_spec(actor={"id": "root", "kind": "system"}))
    problem(answer, 422, "unknown_field")

    job = api.post("/v1/jobs", a_spec(), by="operator").json()["job"]
    assert job["created_by"] == {"id": "operator-token", "kind": "user"}


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Correlation-Id"])
def test_a_valid_correlation_id_is_recorded_and_answered(api: Api, name: str) -> None:
    answer = api.post("/v1/jobs", a_spec(), headers={name: "deploy-7:step.2"})

    assert answer.headers["x-request-id"] == "deploy-7:step.2"
    found = api.get("/v1/events?correlation_id=deploy-7:step.2").json()["events"]
    assert [event["topic"] for event in found] == ["job.scheduled", "name.reserved"]


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "<script>", "a\tb"])
def test_an_invalid_correlation_id_is_replaced(api: Api, given: str) -> None:
    answer = api.get("/healthz", headers={"X-Request-Id": given})

    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


# -- refused access is recorded -------------------------------------------------------------------


def refused(api: Api) -> list[dict[str, Any]]:
    api.ledger.submit([]).result()
    return list(api.ledger.queries.export(AuditQuery(topics=("access.refused",))))


def test_a_refused_change_is_recorded_with_its_actor_and_path(api: Api) -> None:
    api.post("/v1/jobs", a_spec(), by="viewer")

    [event] = refused(api)
    assert event["actor"]["id"] == "viewer-token"
    assert event["data"]["role"] == "viewer"
    assert (event["data"]["method"], event["data"]["path"]) == ("POST", "/v1/jobs")
    assert "needs the role operator" in event["data"]["detail"]


def test_a_refused_command_executor_is_recorded_too(api: Api) -> None:
    api.post("/v1/jobs", a_spec(executor=COMMAND), by="operator")

    assert [event["data"]["path"] for event in refused(api)] == ["/v1/jobs"]


def test_the_same_attempt_is_recorded_once_a_minute(api: Api) -> None:
    for _ in range(20):
        api.post("/v1/jobs", a_spec(), by="viewer")
    api.clock.advance(timedelta(minutes=1))
    api.post("/v1/jobs", a_spec(), by="viewer")

    assert len(refused(api)) == 2


def test_a_refused_read_and_an_unknown_token_are_not_recorded(api: Api) -> None:
    position = api.ledger.writer.position

    api.get("/v1/tokens", by="viewer")
    api.post("/v1/jobs", a_spec(), by="jl_unknown")

    assert refused(api) == []
    assert api.ledger.writer.position == position + 1  # the creation of the viewer's token

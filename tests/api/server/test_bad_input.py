"""Invalid input: each refusal has its code and its field, and leaves no event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.http.limits import MAX_BODY_BYTES
from tests.api.harness import Api, problem, serving
from tests.support.builders import a_spec

NO_JSON = [
    b"", b"   ", b"{", b"{} {}", b"{'a': 1}", b"\xef\xbb\xbf{}", b'{"task": "\xff"}',
    b'{"task": NaN}', b'{"task": Infinity}', b'{"task": -Infinity}', b'{"task": 1e400}',
    b'{"task": ' + b"9" * 400 + b"}", b'{"task": "\\ud800"}', b'{"\\udfff": 1}',
    b'{"task": "\\u0000"}', b'{"\\u0000": 1}', b'{"force": false, "force": true}',
    b'{"a": ' * 65 + b"1" + b"}" * 65, b"[" * 2000 + b"]" * 2000,
]  # fmt: skip

UNACCEPTABLE: list[tuple[dict[str, Any], str, str]] = [
    ({"Name": "x"}, "unknown_field", "Name"),
    ({"_type_": "datetime_iso", "_data_": "x"}, "unknown_field", "_type_"),
    ({"name": 7}, "invalid_field", "name"),
    ({"name": ""}, "invalid_field", "name"),
    ({"enabled": "yes"}, "invalid_field", "enabled"),
    ({"enabled": 1}, "invalid_field", "enabled"),
    ({"tags": "daily"}, "invalid_field", "tags"),
    ({"tags": [1]}, "invalid_field", "tags"),
    ({"schedule": "daily"}, "invalid_field", "schedule"),
    ({"schedule": {"kind": "cron", "expr": 5}}, "invalid_field", "schedule.expr"),
    ({"schedule": {"kind": "cron", "expr": "@daily", "TZ": "x"}}, "unknown_field", "schedule.TZ"),
    ({"executor": {"kind": "http"}}, "invalid_field", "executor.url"),
    ({"executor": {"kind": "noop", "_type_": "x"}}, "unknown_field", "executor._type_"),
    ({"policy": {"trip_afterr": 3}}, "unknown_field", "policy.trip_afterr"),
    ({"schedule": {"kind": "every", "interval_seconds": 2**64}}, "schedule_invalid", ""),
    ({"schedule": {"kind": "cron", "expr": "61 * * * *"}}, "schedule_invalid", ""),
    ({"schedule": {"kind": "cron", "expr": "* * * * *", "tz": "Mars/X"}}, "schedule_invalid", ""),
    ({"schedule": {"kind": "cron", "expr": "0 0 30 2 *"}}, "schedule_never_fires", ""),
    ({"schedule": {"kind": "at", "at": "2026-03-02T11:59:59Z"}}, "schedule_in_past", ""),
    ({"schedule": {"kind": "at", "at": "2026-03-02T13:00:00"}}, "schedule_invalid", ""),
]  # fmt: skip


@pytest.mark.parametrize("body", NO_JSON, ids=lambda body: repr(body[:24]))
def test_invalid_json_is_malformed(api: Api, body: bytes) -> None:
    position = api.ledger.writer.position

    problem(api.ask("POST", "/v1/jobs", content=body), 400, "malformed_json")

    assert api.ledger.writer.position == position


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"1", b"true"])
@pytest.mark.parametrize("path", ["", "/00000000-0000-4000-8000-000000000000/resume"])
def test_json_that_is_not_an_object_is_an_invalid_body(api: Api, path: str, body: bytes) -> None:
    refusal = problem(api.ask("POST", f"/v1/jobs{path}", content=body), 422, "invalid_field")

    assert refusal["field"] == "body"


@pytest.mark.parametrize(("change", "code", "field"), UNACCEPTABLE, ids=str)
def test_an_invalid_job_is_refused_by_the_invalid_field(
    api: Api, change: dict[str, Any], code: str, field: str
) -> None:
    position = api.ledger.writer.position

    body = problem(api.post("/v1/jobs", a_spec(**change)), 422, code)

    assert body.get("field", "") == field
    assert api.ledger.writer.position == position


@pytest.mark.parametrize("missing", ["name", "schedule"])
def test_a_job_without_a_required_field_is_refused(api: Api, missing: str) -> None:
    spec = {key: value for key, value in a_spec().items() if key != missing}

    assert problem(api.post("/v1/jobs", spec), 422, "invalid_field")["field"] == missing


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"Force": True}, "unknown_field", "Force"),
        ({"force": True, "because": "x"}, "unknown_field", "because"),
        ({"force": "true"}, "invalid_field", "force"),
        ({"force": 1}, "invalid_field", "force"),
        ({"force": None}, "invalid_field", "force"),
        ({"reason": 7}, "invalid_field", "reason"),
        ({"reason": "x" * 4097}, "invalid_field", "reason"),
        ({"run_at": 7}, "invalid_field", "run_at"),
        ({"run_at": "tomorrow"}, "invalid_field", "run_at"),
        ({"run_at": "0001-01-01T00:00:00+14:00"}, "invalid_field", "run_at"),
        ({"run_at": "2026-03-02T13:00:00Z", "run_now": True}, "invalid_field", "run_at"),
    ],
)
def test_a_force_that_is_not_exactly_true_never_forces(
    api: Api, body: dict[str, Any], code: str, field: str
) -> None:
    job_id = api.failed_job()
    answer = api.post(f"/v1/jobs/{job_id}/resume", {"force": True} | body)

    assert problem(answer, 422, code)["field"] == field
    assert api.topics(job_id)[-1] == "job.circuit_tripped"


def test_a_resume_at_a_past_instant_is_refused(api: Api) -> None:
    job_id = api.paused_job()

    answer = api.post(f"/v1/jobs/{job_id}/resume", {"run_at": "2026-03-02T11:00:00Z"})

    problem(answer, 422, "schedule_in_past")


def test_a_name_is_unique_ignoring_case(api: Api) -> None:
    job_id = api.schedule("Nightly Straße")

    body = problem(api.post("/v1/jobs", a_spec(name="NIGHTLY STRASSE")), 409, "name_taken")

    assert body["holder"] == job_id


def test_a_task_over_32_kib_is_too_large(api: Api) -> None:
    for task in ("x" * 40 * 1024, "é" * 17 * 1024):
        problem(api.post("/v1/jobs", a_spec(task=task)), 413, "too_large")
    assert api.post("/v1/jobs", a_spec(task="x" * 32 * 1024)).status_code == 201


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 10_000


def test_a_body_over_the_limit_is_refused_however_it_is_sent(api: Api) -> None:
    body = orjson.dumps(a_spec()) + b" " * MAX_BODY_BYTES

    problem(api.ask("POST", "/v1/jobs", content=body), 413, "too_large")
    problem(api.ask("POST", "/v1/jobs", content=_endless()), 413, "too_large")
    problem(api.ask("POST", "/login", content=_endless(), by=None), 413, "too_large")


def test_a_body_at_the_limit_is_read(api: Api) -> None:
    body = orjson.dumps(a_spec())

    answer = api.ask("POST", "/v1/jobs", content=body.ljust(MAX_BODY_BYTES))

    assert answer.status_code == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "", "x"])
def test_any_content_type_is_read_as_json(api: Api, content_type: str) -> None:
    body, headers = orjson.dumps(a_spec()), {"Content-Type": content_type}

    assert api.ask("POST", "/v1/jobs", content=body, headers=headers).status_code == 201


def test_text_that_looks_like_an_escape_stays_text(api: Api) -> None:
    body = orjson.dumps(a_spec(task="\\u0000 \\ud800"))

    assert api.ask("POST", "/v1/jobs", content=body).json()["job"]["task"] == "\\u0000 \\ud800"


@pytest.mark.parametrize(
    ("path", "code", "field"),
    [
        ("jobs?staus=failed", "unknown_field", "staus"),
        ("jobs?status=Failed", "invalid_field", "status"),
        ("jobs?failure_class=rate", "invalid_field", "failure_class"),
        ("jobs?limit=0", "invalid_field", "limit"),
        ("jobs?limit=1001", "invalid_field", "limit"),
        ("jobs?limit=many", "invalid_field", "limit"),
        ("jobs?cursor=abc", "invalid_field", "cursor"),
        ("jobs?cursor=-1", "invalid_field", "cursor"),
        ("jobs?after_position=-1", "invalid_field", "after_position"),
        ("jobs?after_position=99999999999999999999", "invalid_field", "after_position"),
        ("jobs?q=" + "x" * 201, "invalid_field", "q"),
        ("jobs?status=active&status=failed", "invalid_field", "status"),
        ("jobs?limit=1&limit=1", "invalid_field", "limit"),
        ("events?kind=user&topic=job.paused&kind=agent", "invalid_field", "kind"),
        ("summary?after_position=1&after_position=2", "invalid_field", "after_position"),
    ],
)
def test_a_filter_that_is_mistyped_or_given_twice_is_refused(
    api: Api, path: str, code: str, field: str
) -> None:
    assert problem(api.get(f"/v1/{path}"), 422, code)["field"] == field


def test_a_job_above_the_limit_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, max_jobs=1) as api:
        api.schedule()
        answer = api.post("/v1/jobs", a_spec(name="one more"))

    problem(answer, 429, "job_limit")
    assert answer.headers["retry-after"] == "60"


def test_a_force_resume_without_a_required_reason_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, require_reason=True) as api:
        job_id = api.failed_job()
        answer = api.post(f"/v1/jobs/{job_id}/resume", {"force": True})

    assert problem(answer, 422, "invalid_field")["field"] == "reason"


def test_an_unknown_path_is_a_problem(api: Api) -> None:
    problem(api.get("/v1/nothing"), 404, "not_found")
    problem(api.get("/v1/jobs/"), 404, "not_found")
    problem(api.get("/static/secret.txt"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, POST"),
        ("POST", "/v1/jobs/x", "DELETE, GET, PATCH"),
        ("PUT", "/login", "GET, POST"),
        ("DELETE", "/healthz", "GET"),
        ("POST", "/v1/openapi.json", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_answered_with_all_allowed_ones(
    api: Api, method: str, path: str, allowed: str
) -> None:
    answer = api.ask(method, path)

    assert answer.headers["allow"] == allowed
    assert allowed in problem(answer, 405, "method_not_allowed")["detail"]


def test_head_is_refused_where_it_is_not_allowed(api: Api) -> None:
    answer = api.ask("HEAD", "/v1/jobs")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


def test_authentication_precedes_the_check_of_filters(api: Api) -> None:
    problem(api.get("/v1/jobs?status=active&status=failed", by=None), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/evidence/head"), ("GET", "/v1/tokens"), ("POST", "/v1/jobs")]
)
def test_a_route_without_parameters_refuses_any(api: Api, method: str, path: str) -> None:
    answer = api.ask(method, f"{path}?as_of=5", json=a_spec() if method == "POST" else None)

    assert problem(answer, 422, "unknown_field")["field"] == "as_of"

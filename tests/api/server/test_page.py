"""The status page and its sessions: its content, the login, and its safety."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.security.attempts import MAX_ATTEMPTS
from api.security.sessions import csrf_of
from tests.api.harness import Api, problem
from tests.support.builders import a_spec

COOKIE = "jobledger_session"


def _log_in(api: Api, role: str = "admin", **options: Any) -> str:
    """The secret of a new session after a login by form."""
    form = {"token": api.secret_of(role)}
    answer = api.ask("POST", "/login", data=form, by=None, **options)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    return next(iter(answer.cookies.values()))


def _with(session: str, **headers: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={session}", **headers}


def _page(api: Api, session: str) -> httpx.Response:
    return api.get("/", by=None, headers=_with(session))


def test_an_unauthenticated_caller_sees_only_the_login_page(api: Api) -> None:
    api.schedule("a secret name")

    page = api.get("/", by=None)

    assert page.status_code == 200
    assert "admin.token" in page.text
    assert "a secret name" not in page.text


def test_the_page_shows_failures_next_fires_and_events(api: Api) -> None:
    job_id = api.failed_job("nightly sync")
    api.schedule("hourly digest")
    api.paused_job("resting")

    page = _page(api, _log_in(api, "viewer")).text

    assert "nightly sync" in page
    assert "429 Too Many Requests" in page
    assert f"jobledger resume {job_id} --force" in page
    assert "hourly digest" in page
    assert "job.circuit_tripped" in page


def test_the_page_groups_failed_jobs_by_storm(api: Api) -> None:
    names = [f"sync {number}" for number in range(3)]
    ids = api.fail_together(names, trip_after=1)
    alone = api.failed_job("nightly sync")
    api.get("/v1/storms")  # the page does not wait for read models

    page = _page(api, _log_in(api, "viewer")).text

    [storm] = api.get("/v1/storms").json()["storms"]
    assert f"jobledger storm resume {storm['id']} --dry-run" in page
    assert "3 of 3 jobs are still failed" in page
    assert all(name in page for name in names)
    assert [f"jobledger resume {job_id}" in page for job_id in (*ids, alone)] == [
        False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_user_text_never_becomes_markup(api: Api, text: str) -> None:
    api.failed_job(text)
    job_id = api.schedule(f"other {text}")
    api.post(f"/v1/jobs/{job_id}/pause", {"reason": text})

    page = _page(api, _log_in(api)).text

    assert text not in page
    assert "&lt;" in page


def test_every_answer_forbids_scripts_frames_and_sniffing(api: Api) -> None:
    for path in ("/", "/static/page.css", "/v1/jobs", "/nothing", "/healthz"):
        headers = api.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    assert api.get("/v1/jobs").headers["cache-control"] == "no-store"


def test_the_pages_have_no_script_no_inline_style_and_no_external_url(api: Api) -> None:
    api.failed_job()

    for page in (api.get("/", by=None).text, _page(api, _log_in(api)).text):
        for forbidden in ("<script", "style=", "<style", "http://", "https://", "onclick"):
            assert forbidden not in page.lower()
        assert "//ledger" not in page.lower()


def test_a_login_link_works_once_within_its_time(api: Api) -> None:
    admin = api.parts.tokens.listing()[0]
    code, late = api.parts.sessions.new_code(admin), api.parts.sessions.new_code(admin)

    first = api.get(f"/login?code={code}", by=None)
    again = api.get(f"/login?code={code}", by=None)
    api.clock.advance(timedelta(minutes=15))
    too_late = api.get(f"/login?code={late}", by=None)

    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert "httponly" in first.headers["set-cookie"].lower()
    assert "samesite=strict" in first.headers["set-cookie"].lower()
    assert (again.status_code, too_late.status_code) == (401, 401)
    assert "set-cookie" not in again.headers


def test_under_tls_the_cookie_is_bound_to_this_host(api: Api) -> None:
    answer = api.ask("POST", "/login", data={"token": api.secret_of("admin")}, scheme="https")

    assert answer.headers["set-cookie"].startswith(f"__Host-{COOKIE}=")
    assert "; Secure" in answer.headers["set-cookie"]


def test_invalid_tokens_in_the_form_are_counted(api: Api) -> None:
    for _ in range(MAX_ATTEMPTS):
        assert api.ask("POST", "/login", data={"token": "jl_x"}, by=None).status_code == 401

    answer = api.ask("POST", "/login", data={"token": "jl_x"}, by=None)

    problem(answer, 429, "too_many_attempts")
    assert "set-cookie" not in answer.headers


def test_a_session_ends_at_logout_at_its_expiry_and_with_its_token(api: Api) -> None:
    session = _log_in(api)
    problem(api.ask("POST", "/logout", data={}, by=None, headers=_with(session)), 403, "forbidden")
    form = {"csrf": csrf_of(session)}
    answer = api.ask("POST", "/logout", data=form, by=None, headers=_with(session))
    assert answer.status_code == 303

    overslept, orphan = _log_in(api), _log_in(api, "viewer")
    api.parts.tokens.revoke("viewer-token", api.ledger.context())

    problem(api.get("/v1/jobs", by=None, headers=_with(session)), 401, "unauthenticated")
    problem(api.get("/v1/jobs", by=None, headers=_with(orphan)), 401, "unauthenticated")
    assert api.get("/v1/jobs", by=None, headers=_with(overslept)).status_code == 200
    api.clock.advance(timedelta(hours=12))
    problem(api.get("/v1/jobs", by=None, headers=_with(overslept)), 401, "unauthenticated")


def test_a_change_with_a_cookie_needs_the_csrf_token_of_its_session(api: Api) -> None:
    session, other = _log_in(api), _log_in(api)
    position = api.ledger.writer.position

    for word in ("", "x", csrf_of(other), session):
        headers = _with(session, **{"X-CSRF-Token": word})
        answer = api.post("/v1/jobs", a_spec(), by=None, headers=headers)
        problem(answer, 403, "forbidden")
    assert api.ledger.writer.position == position

    headers = _with(session, **{"X-CSRF-Token": csrf_of(session)})
    assert api.post("/v1/jobs", a_spec(), by=None, headers=headers).status_code == 201
    assert api.get("/v1/events").json()["events"][-1]["source"] == "ui"


def test_forty_requests_from_another_site_change_nothing(api: Api) -> None:
    session, job_id = _log_in(api), api.schedule()
    position = api.ledger.writer.position
    foreign = _with(session, Origin="https://evil.example", **{"Sec-Fetch-Site": "cross-site"})
    job = f"/v1/jobs/{job_id}"
    paths = [("POST", "/v1/jobs"), ("PATCH", job), ("DELETE", job)]
    paths += [("POST", f"{job}/{command}") for command in ("pause", "resume", "run")]
    paths += [("POST", "/v1/tokens"), ("DELETE", "/v1/tokens/admin")]

    for method, path in paths:
        for body in (b"", b"{}", b'{"name":"x","role":"admin"}', b"force=true", b"[]"):
            answer = api.ask(method, path, content=body, by=None, headers=foreign)
            problem(answer, 403, "forbidden")

    assert api.ledger.writer.position == position


def test_another_site_cannot_log_a_user_in(api: Api) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    form = {"token": api.secret_of("admin")}

    problem(api.ask("POST", "/login", data=form, by=None, headers=headers), 403, "forbidden")


def test_no_get_changes_the_ledger(api: Api) -> None:
    job_id = api.failed_job()
    code = api.parts.sessions.new_code(api.parts.tokens.listing()[0])
    position = api.ledger.writer.position

    for path in ("", "/events", "/runs", "/pause", "/resume", "/run", "/resume?force=true"):
        api.get(f"/v1/jobs/{job_id}{path}")
    for path in ("/", f"/login?code={code}", "/logout", "/readyz", "/v1/tokens", "/v1/summary"):
        api.get(path)
    for path in ("/v1/events?format=csv", "/v1/evidence/head", "/v1/openapi.json", "/v1/jobs"):
        api.get(path)

    assert api.ledger.writer.position == position

"""Phantom's routes: what its dashboard and its own tests expect of jobs, resume and previews."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api.phantom import listing
from ledger.domain import outcomes
from tests.api.harness import Api, error, serving
from tests.builders import DAY

PATH = "/ui/api/scheduler"
DIGEST = {
    "name": "hn-digest",
    "description": "Top stories every 6 hours",
    "task": "Fetch the top 10 stories and post a summary.",
    "schedule": {"kind": "every", "intervalMs": 21_600_000},
    "delivery": {"channel": "slack", "target": "owner"},
}
JOB_KEYS = {
    "id", "name", "description", "enabled", "schedule", "task", "delivery", "status", "lastRunAt",
    "lastRunStatus", "lastRunDurationMs", "lastRunError", "lastDeliveryStatus", "nextRunAt",
    "runCount", "consecutiveErrors", "deleteAfterRun", "createdAt", "createdBy", "updatedAt",
}  # fmt: skip
FAILURE = outcomes.Failure("Error: no money", "other", None, None, 7)


def create(api: Api, **fields: Any) -> dict[str, Any]:
    """A job made on Phantom's route."""
    return job_in(api.post(PATH, {**DIGEST, **fields}), 201)


def job_in(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"job"}
    job: dict[str, Any] = answer.json()["job"]
    assert job.keys() == JOB_KEYS
    return job


# -- create ---------------------------------------------------------------------------------------


def test_a_job_comes_back_in_the_words_it_was_made_with(api: Api) -> None:
    job = create(api)

    assert {key: job[key] for key in DIGEST} == DIGEST
    assert (job["status"], job["enabled"], job["createdBy"]) == ("active", True, "user")
    assert (job["runCount"], job["consecutiveErrors"], job["deleteAfterRun"]) == (0, 0, False)
    assert job["nextRunAt"] == "2026-03-02T18:00:00Z"
    assert job["lastRunAt"] is job["lastRunStatus"] is job["lastRunError"] is None


def test_a_job_made_there_goes_to_the_agent(api: Api) -> None:
    job = create(api)

    native = api.get(f"/v1/jobs/{job['id']}").json()["job"]

    assert native["executor"] is None
    assert native["schedule"] == {"kind": "every", "interval_seconds": 21600, "anchor": "end"}
    assert native["delivery"] == {"channel": "slack", "target": "owner"}


def test_a_disabled_job_is_listed_as_disabled_and_never_fires(api: Api) -> None:
    job = create(api, enabled=False)
    api.clock.advance(DAY)

    [listed] = api.get(PATH).json()["jobs"]

    assert (listed["enabled"], listed["status"], listed["nextRunAt"]) == (False, "active", None)
    assert api.ledger.heads.next_at() is None
    error(api.post(f"{PATH}/{job['id']}/run"), 409)


@pytest.mark.parametrize("delivery", [{"channel": "none"}, {"channel": "none", "target": "x"}])
def test_delivery_to_none_is_no_delivery(api: Api, delivery: dict[str, str]) -> None:
    job = create(api, delivery=delivery)

    assert job["delivery"]["channel"] == "none"
    assert api.get(f"/v1/jobs/{job['id']}").json()["job"]["delivery"] is None


def test_delivery_left_out_is_the_slack_owner(api: Api) -> None:
    body = {key: value for key, value in DIGEST.items() if key != "delivery"}

    job = job_in(api.post(PATH, body), 201)

    assert job["delivery"] == {"channel": "slack", "target": "owner"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"kind": "cron", "expr": "0 9 * * 1-5"}, {"tz": "UTC"}),
        ({"kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin"}, {}),
        ({"kind": "at", "at": "2026-03-03T09:00:00Z"}, {}),
        ({"kind": "every", "intervalMs": 1500}, {}),
    ],
)
def test_schedules_keep_phantoms_units(
    api: Api, given: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert create(api, schedule=given)["schedule"] == {**given, **shown}


def test_who_made_it_is_what_the_token_says(api: Api) -> None:
    job = create(api, createdBy="agent")

    assert job["createdBy"] == "user"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": 1},
        {"description": "x" * 1001},
        {"task": ""},
        {"task": None},
        {"schedule": {"kind": "cron", "expr": "not a valid cron"}},
        {"schedule": {"kind": "cron", "expr": "@daily"}},
        {"schedule": {"kind": "cron", "expr": "0 9 * * *", "tz": "Mars/Olympus"}},
        {"schedule": {"kind": "cron", "expr": "0 0 30 2 *"}},
        {"schedule": {"kind": "at", "at": "2020-01-01T00:00:00Z"}},
        {"schedule": {"kind": "at", "at": "tomorrow"}},
        {"schedule": {"kind": "every", "intervalMs": 0}},
        {"schedule": {"kind": "every", "intervalMs": 1.5}},
        {"schedule": {"kind": "every", "intervalMs": 10**30}},
        {"schedule": {"kind": "every", "interval_seconds": 60}},
        {"schedule": {"kind": "bogus"}},
        {"schedule": None},
        {"delivery": {"channel": "slack", "target": "#general"}},
        {"delivery": {"channel": "mail", "target": "owner"}},
        {"delivery": {"channel": "slack", "target": "owner\n"}},
        {"enabled": "yes"},
        {"deleteAfterRun": 1},
        {"executor": {"kind": "command", "argv": ["/bin/true"]}},
        {"createdBy": "root"},
    ],
)
def test_bad_input_is_a_400_and_makes_no_job(api: Api, wrong: dict[str, Any]) -> None:
    error(api.post(PATH, {**DIGEST, **wrong}), 400)

    assert api.get(PATH).json()["jobs"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"name": NaN}', b"\xff"])
def test_a_body_that_is_no_object_is_a_400(api: Api, body: bytes) -> None:
    for path in (PATH, f"{PATH}/preview", f"{PATH}/parse"):
        error(api.ask("POST", path, content=body), 400)


def test_a_schedule_that_cannot_be_is_called_so(api: Api) -> None:
    wrong = {**DIGEST, "schedule": {"kind": "cron", "expr": "not a valid cron"}}

    assert "invalid schedule" in error(api.post(PATH, wrong), 400)


def test_a_name_that_is_taken_is_a_409(api: Api) -> None:
    create(api)

    assert "hn-digest" in error(api.post(PATH, DIGEST), 409)


@pytest.mark.parametrize("size", [32 * 1024 + 1, 300 * 1024])
def test_a_task_over_32_kib_is_a_413(api: Api, size: int) -> None:
    error(api.post(PATH, {**DIGEST, "task": "x" * size}), 413)


def test_a_job_too_many_is_a_429(tmp_path: Any) -> None:
    with serving(tmp_path, max_jobs=1) as api:
        create(api)

        error(api.post(PATH, {**DIGEST, "name": "second"}), 429)


# -- list and look --------------------------------------------------------------------------------


def test_an_empty_list_has_a_summary(api: Api) -> None:
    assert api.get(PATH).json() == {
        "summary": {
            "total": 0,
            "active": 0,
            "paused": 0,
            "completed": 0,
            "failed": 0,
            "nextFireAt": None,
            "recentFailures": 0,
        },
        "jobs": [],
    }


def test_the_list_counts_and_shows_the_newest_first(api: Api) -> None:
    api.completed_job()
    api.failed_job()
    api.paused_job()
    failing = api.schedule("failing", policy={"trip_after": 3})
    api.deleted_job()
    api.end_run(failing, api.start_run(failing), FAILURE)
    job = create(api)

    found = api.get(PATH).json()

    names = [item["name"] for item in found["jobs"]]
    assert names == ["hn-digest", "failing", "resting", "broken", "done"]
    assert found["jobs"][0] == job
    assert found["summary"] == {
        "total": 5,
        "active": 2,
        "paused": 1,
        "completed": 1,
        "failed": 1,
        "nextFireAt": found["jobs"][1]["nextRunAt"],
        "recentFailures": 1,
    }


def test_a_long_list_is_read_in_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [create(api, name=f"job {number}")["name"] for number in range(5)]
    monkeypatch.setattr(listing, "MAX_PAGE", 2)
    monkeypatch.setattr(listing, "MAX_LISTED", 4)

    shown = [job["name"] for job in api.get(PATH).json()["jobs"]]

    assert shown == made[:0:-1]


def test_one_job_shows_how_its_last_run_went(api: Api) -> None:
    job_id = api.failed_job()

    job = job_in(api.get(f"{PATH}/{job_id}"))

    assert (job["status"], job["lastRunStatus"], job["nextRunAt"]) == ("failed", "error", None)
    assert (job["lastRunError"], job["lastRunDurationMs"]) == ("429 Too Many Requests", 7)
    assert job["consecutiveErrors"] == job["runCount"] == 1


@pytest.mark.parametrize("job_id", ["nope", "00000000-0000-4000-8000-000000000000"])
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/audit"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/run"),
    ],
)
def test_an_unknown_job_is_a_404(api: Api, job_id: str, method: str, rest: str) -> None:
    error(api.ask(method, f"{PATH}/{job_id}{rest}"), 404)


# -- previews and words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "words", "fires"),
    [
        ({"kind": "every", "intervalMs": 21_600_000}, "every 6h", "2026-03-02T18:00:00Z"),
        ({"kind": "every", "intervalMs": 86_400_000}, "every 24h", "2026-03-03T12:00:00Z"),
        ({"kind": "every", "intervalMs": 172_800_000}, "every 2d", "2026-03-04T12:00:00Z"),
        ({"kind": "every", "intervalMs": 5_400_000}, "every 90m", "2026-03-02T13:30:00Z"),
        ({"kind": "every", "intervalMs": 1500}, "every 1500ms", "2026-03-02T12:00:01.500000Z"),
    ],
)
def test_a_preview_says_when_and_in_words(
    api: Api, schedule: dict[str, Any], words: str, fires: str
) -> None:
    answer = api.post(f"{PATH}/preview", {"schedule": schedule}, by="viewer")

    assert answer.json() == {"nextRunAt": fires, "humanReadable": words, "error": None}


def test_a_cron_is_previewed_in_its_zone_and_else_in_utc(api: Api) -> None:
    expr = {"kind": "cron", "expr": "0 14 * * *"}

    def next_run_at(**zone: str) -> str:
        answer = api.post(f"{PATH}/preview", {"schedule": {**expr, **zone}})
        return str(answer.json()["nextRunAt"])

    assert next_run_at() == "2026-03-02T14:00:00Z"
    assert next_run_at(tz="America/New_York") == "2026-03-02T19:00:00Z"


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"kind": "cron", "expr": "@daily"}, "nicknames"),
        ({"kind": "cron", "expr": " @daily"}, "nicknames"),
        ({"kind": "cron", "expr": "61 * * * *"}, "61"),
        ({"kind": "cron", "expr": "0 0 30 2 *"}, "never"),
        ({"kind": "cron", "expr": "* * * * *", "tz": "Mars/Olympus"}, "Mars"),
        ({"kind": "at", "at": "2020-01-01T00:00:00Z"}, "future"),
        ({"kind": "at", "at": "2030-01-01T00:00:00"}, "offset"),
        ({"kind": "every", "intervalMs": 1}, "interval"),
    ],
)
def test_a_bad_schedule_is_previewed_as_an_error(
    api: Api, schedule: dict[str, Any], words: str
) -> None:
    answer = api.post(f"{PATH}/preview", {"schedule": schedule})

    assert answer.status_code == 200
    assert answer.json()["nextRunAt"] is answer.json()["humanReadable"] is None
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [{}, {"schedule": {"kind": "bogus"}}, {"schedule": {"kind": "cron"}}, {"schedule": "@daily"}],
)
def test_what_is_no_schedule_at_all_is_a_400(api: Api, body: dict[str, Any]) -> None:
    error(api.post(f"{PATH}/preview", body), 400)


@pytest.mark.parametrize(
    ("words", "status"), [("", 400), ("x" * 2001, 400), ("x" * 2000, 422), ("every day", 422)]
)
def test_words_are_not_understood_yet(api: Api, words: str, status: int) -> None:
    error(api.post(f"{PATH}/parse", {"description": words}), status)


# -- the form of a refusal ------------------------------------------------------------------------


def test_what_the_router_refuses_has_phantoms_form(api: Api) -> None:
    error(api.post(f"{PATH}/no-such-thing/boom"), 404)
    error(api.get(f"{PATH}/"), 404)
    put = api.ask("PUT", PATH, json={})
    error(put, 405)
    assert put.headers["allow"] == "GET, POST"
    error(api.get(PATH, by=None), 401)
    error(api.post(PATH, DIGEST, by="viewer"), 403)
    error(api.get(f"{PATH}?x=1&x=2"), 400)


def test_a_copy_that_is_behind_is_a_503_in_phantoms_form(api: Api) -> None:
    create(api)
    api.parts.copies.patience_seconds = 0
    with api.held_copies():
        create(api, name="unseen")

        answer = api.get(PATH)

    error(answer, 503)
    assert answer.headers["retry-after"] == "1"


def test_a_mistake_of_ours_has_phantoms_form(api: Api) -> None:
    async def broken() -> None:
        raise RuntimeError("the inside")

    api.app.add_api_route(f"{PATH}/a/broken/route", broken)

    words = error(api.get(f"{PATH}/a/broken/route"), 500)

    assert "inside" not in words


def test_other_paths_keep_their_own_form(api: Api) -> None:
    for path in ("/ui/api/schedulers", "/ui/api", "/v1/nothing"):
        assert api.get(path).headers["content-type"] == "application/problem+json"

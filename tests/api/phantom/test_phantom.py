"""Phantom's routes: create, list and show jobs, as its dashboard and tests expect."""

from __future__ import annotations

from typing import Any

import pytest

from api.phantom import routes as phantom
from tests.api.harness import Api, error, serving
from tests.api.phantom.scheduler import DIGEST, FAILURE, PATH, create, job_in
from tests.support.builders import DAY


def test_a_job_is_read_back_in_the_fields_it_was_created_with(api: Api) -> None:
    job = create(api)

    assert {key: job[key] for key in DIGEST} == DIGEST
    assert (job["status"], job["enabled"], job["createdBy"]) == ("active", True, "user")
    assert (job["runCount"], job["consecutiveErrors"], job["deleteAfterRun"]) == (0, 0, False)
    assert job["nextRunAt"] == "2026-03-02T18:00:00Z"
    assert job["lastRunAt"] is job["lastRunStatus"] is job["lastRunError"] is None


def test_a_job_of_phantom_goes_to_the_agent(api: Api) -> None:
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
    assert api.ledger.job_cache.due.next_at() is None
    error(api.post(f"{PATH}/{job['id']}/run"), 409)


@pytest.mark.parametrize("delivery", [{"channel": "none"}, {"channel": "none", "target": "x"}])
def test_delivery_to_none_is_no_delivery(api: Api, delivery: dict[str, str]) -> None:
    job = create(api, delivery=delivery)

    assert job["delivery"]["channel"] == "none"
    assert api.get(f"/v1/jobs/{job['id']}").json()["job"]["delivery"] is None


def test_the_default_delivery_is_the_slack_owner(api: Api) -> None:
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


def test_the_creator_is_the_kind_of_the_token(api: Api) -> None:
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
def test_invalid_input_is_a_400_and_creates_no_job(api: Api, wrong: dict[str, Any]) -> None:
    error(api.post(PATH, {**DIGEST, **wrong}), 400)

    assert api.get(PATH).json()["jobs"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"name": NaN}', b"\xff"])
def test_a_body_that_is_not_an_object_is_a_400(api: Api, body: bytes) -> None:
    for path in (PATH, f"{PATH}/preview", f"{PATH}/parse"):
        error(api.ask("POST", path, content=body), 400)


def test_an_invalid_schedule_is_called_invalid(api: Api) -> None:
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


STATUSES = ("active", "paused", "completed", "failed")


def test_an_empty_list_has_a_summary(api: Api) -> None:
    counts = dict.fromkeys((*STATUSES, "total", "recentFailures"), 0)

    assert api.get(PATH).json() == {"summary": {**counts, "nextFireAt": None}, "jobs": []}


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
        **dict.fromkeys(STATUSES, 1),
        "active": 2,
        "total": 5,
        "nextFireAt": found["jobs"][1]["nextRunAt"],
        "recentFailures": 1,
    }


def test_a_long_list_is_read_in_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [create(api, name=f"job {number}")["name"] for number in range(5)]
    monkeypatch.setattr(phantom, "MAX_PAGE", 2)
    monkeypatch.setattr(phantom, "MAX_LISTED", 4)

    shown = [job["name"] for job in api.get(PATH).json()["jobs"]]

    assert shown == made[:0:-1]


def test_one_job_shows_the_outcome_of_its_last_run(api: Api) -> None:
    job_id = api.failed_job()

    job = job_in(api.get(f"{PATH}/{job_id}"))

    assert (job["status"], job["lastRunStatus"], job["nextRunAt"]) == ("failed", "error", None)
    assert (job["lastRunError"], job["lastRunDurationMs"]) == ("429 Too Many Requests", 7)
    assert job["consecutiveErrors"] == job["runCount"] == 1


@pytest.mark.parametrize("job_id", ["nope", "00000000-0000-4000-8000-000000000000"])
@pytest.mark.parametrize(
    "request_line", ["GET ", "DELETE ", "GET /audit", "POST /pause", "POST /resume", "POST /run"]
)
def test_an_unknown_job_is_a_404(api: Api, job_id: str, request_line: str) -> None:
    method, rest = request_line.split(" ")

    error(api.ask(method, f"{PATH}/{job_id}{rest}"), 404)

"""`as_of`: jobs, one job, summary, storms, resumes and gaps, exactly as answered at that time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from ledger.clock import rfc3339
from tests.api.harness import EVERY, Api, problem
from tests.support.lives import FLEET, Life

LISTS = (
    "/v1/jobs",
    "/v1/jobs?limit=2",
    "/v1/jobs?status=active",
    "/v1/jobs?status=failed&limit=1",
    "/v1/jobs?tag=red",
    "/v1/jobs?q=new",
    "/v1/jobs?failure_class=rate_limited&limit=2",
    "/v1/jobs?failure_class=timeout&status=active",
    "/v1/summary",
    "/v1/storms",
    "/v1/storms?limit=1",
    "/v1/storms?open=true",
    "/v1/resumes",
    "/v1/resumes?limit=2",
    "/v1/resumes?outcome=open",
    "/v1/resumes?failure_class=timeout",
    "/v1/gaps",
    "/v1/gaps?limit=3",
    "/v1/gaps?tag=red",
    "/v1/gaps?cause=paused",
)
OF_A_JOB = (
    "/v1/jobs/{job}",
    "/v1/jobs/{job}/events?limit=2",
    "/v1/jobs/{job}/events?order=desc&limit=3",
    "/v1/jobs/{job}/runs?limit=2",
)
Kept = dict[tuple[int, str], tuple[str, list[bytes]]]


def answers(api: Api, path: str, as_of: str | None = None) -> list[bytes]:
    """The answers to a query, page by page, as bytes."""
    name, _, rest = path.partition("?")
    query: dict[str, Any] = dict(pair.split("=") for pair in rest.split("&") if pair)
    query |= {} if as_of is None else {"as_of": as_of}
    found: list[bytes] = []
    while True:
        answer = api.get(name, params=query)
        found.append(answer.content)
        if answer.json().get("next") is None:
            return found
        query["cursor"] = answer.json()["next"]


def recorded(api: Api, seed: int, steps: int) -> Kept:
    """The answers to every query, at several positions of a growing history."""
    life, kept, watched = Life(api.ledger, seed, FLEET), Kept(), ""
    for step in range(steps):
        life.step()
        watched = watched or str(life.ids[0])
        if step == steps - 1:
            api.ask("DELETE", f"/v1/jobs/{watched}")
        at = api.ledger.writer.position, rfc3339(api.clock.now())
        listed = api.get("/v1/storms").json()["storms"]
        known = [f"/v1/storms/{storm['id']}" for storm in listed]
        own = [path.format(job=watched) for path in OF_A_JOB]
        for path in (*LISTS, *known, *own):
            kept[at[0], path] = at[1], answers(api, path)
    return kept


@pytest.mark.parametrize(
    ("seed", "steps"),
    [(1, 30), *(pytest.param(seed, 60, marks=pytest.mark.slow) for seed in (2, 3))],
)
def test_a_past_answer_equals_the_answer_given_then(framed: Api, seed: int, steps: int) -> None:
    kept = recorded(framed, seed, steps)

    for (position, path), (instant, then) in kept.items():
        for as_of in (str(position), instant):
            answer = answers(framed, path, as_of)
            assert answer == then, f"seed {seed}, {path} as of {as_of}"
    assert framed.ledger.writer.position > 5 * EVERY
    assert len({path for _, path in kept}) > len(LISTS + OF_A_JOB) + 1, "there were no storms"
    of_one = {tuple(then) for (_, path), (_, then) in kept.items() if "runs" in path}
    assert len(of_one) > 5, "the job did not run"


def test_older_runs_are_paged_as_of_a_position_long_after_them(api: Api) -> None:
    job_id = api.schedule()
    for _ in range(3):
        api.end_run(job_id, api.start_run(job_id))
    for number in range(12):
        api.ask("PATCH", f"/v1/jobs/{job_id}", json={"task": f"task {number}"})
    path, position = f"/v1/jobs/{job_id}/runs?limit=2", api.ledger.writer.position
    then = answers(api, path)
    api.start_run(job_id)

    assert answers(api, path, str(position)) == then
    assert len(then) == 2


@pytest.mark.parametrize("path", ["/v1/storms", "/v1/storms/{storm}", "/v1/resumes", "/v1/gaps"])
def test_the_past_names_deleted_jobs_whatever_was_asked_before(framed: Api, path: str) -> None:
    storm_id, ids = framed.storm(trip_after=1)
    path = path.format(storm=storm_id)
    for job_id in ids:
        framed.post(f"/v1/jobs/{job_id}/resume", {"force": True})
    framed.ask("DELETE", f"/v1/jobs/{ids[0]}")
    for number in range(EVERY):
        framed.schedule(f"later {number}")

    then = framed.get(path).json()

    assert framed.get(path, params={"as_of": then["position"]}).json() == then


def test_at_position_zero_everything_is_empty(framed: Api) -> None:
    framed.failed_job()

    assert framed.get("/v1/jobs?as_of=0").json()["jobs"] == []
    assert framed.get("/v1/summary?as_of=0").json()["summary"]["total"] == 0
    assert framed.get("/v1/storms?as_of=0").json()["storms"] == []
    problem(framed.get("/v1/storms/S-1?as_of=0"), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/summary", "/v1/storms", "/v1/recoveries"])
def test_an_instant_before_the_first_event_is_refused(framed: Api, path: str) -> None:
    before = rfc3339(framed.clock.now() - timedelta(days=900))
    framed.failed_job()

    refused = problem(framed.get(path, params={"as_of": before}), 422, "invalid_field")

    assert refused["field"] == "as_of"
    assert "before the first event, which was recorded at 2026-" in refused["detail"]


@pytest.mark.parametrize("path", ["", "/events", "/runs"])
def test_before_it_was_scheduled_there_is_no_job(api: Api, path: str) -> None:
    before = rfc3339(api.clock.now())
    api.clock.advance(timedelta(seconds=1))
    job_id = api.schedule()

    for as_of in ("0", "1", before):
        answer = api.get(f"/v1/jobs/{job_id}{path}", params={"as_of": as_of})
        problem(answer, 404, "job_not_found")


@pytest.mark.parametrize(
    "path",
    ["/v1/jobs", "/v1/summary", "/v1/storms", "/v1/storms/S-1", "/v1/resumes", "/v1/gaps"]
    + ["/v1/jobs/{job}", "/v1/jobs/{job}/events", "/v1/jobs/{job}/runs", "/v1/jobs/{job}/blame"],
)
@pytest.mark.parametrize(
    "as_of",
    ["99999", "9" * 400, "2999-01-01T00:00:00Z", "yesterday", "-1", "", "2026-03-02T12:00:00"],
)
def test_an_as_of_that_is_not_in_the_past_is_refused(api: Api, path: str, as_of: str) -> None:
    answer = api.get(path.format(job=api.schedule()), params={"as_of": as_of})

    assert problem(answer, 422, "invalid_field")["field"] == "as_of"


def test_the_past_is_answered_while_read_models_are_stuck_after_it(framed: Api) -> None:
    framed.schedule("first")
    then, position = framed.get("/v1/jobs").content, framed.ledger.writer.position
    with framed.broken_read_model("jobs"):
        framed.schedule("second")

        answer = framed.get(f"/v1/jobs?as_of={position}")

        assert answer.content == then
        problem(framed.get(f"/v1/jobs?as_of={position + 2}"), 503, "behind")


def test_pages_of_the_past_are_stable_while_the_fleet_changes(framed: Api) -> None:
    for number in range(6):
        framed.schedule(f"job {number}")
    position = framed.ledger.writer.position
    query: dict[str, Any] = {"as_of": position, "limit": 2}
    seen: list[str] = []
    while query.get("cursor", "") is not None:
        page: httpx.Response = framed.get("/v1/jobs", params=query)
        seen += [job["name"] for job in page.json()["jobs"]]
        query["cursor"] = page.json()["next"]
        framed.schedule(f"later {len(seen)}")

    assert seen == [f"job {number}" for number in range(6)]

"""`as_of`: one job, its events and its runs, exactly as answered at that time."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from ledger.clock import rfc3339
from ledger.domain.job import outcomes
from tests.api.harness import Api, problem
from tests.support.builders import SUCCESS

FAILURE = outcomes.Failure("429 Too Many Requests", "rate_limited", "api.example.com", None, 7)
PATHS = ("", "/events", "/events?order=desc&limit=3", "/runs", "/runs?limit=2", "/events?limit=2")

Answer = tuple[int, Any]


def _asked(api: Api, job_id: str, path: str, as_of: str | None = None) -> list[Answer]:
    """The answers to a query, page by page."""
    found: list[Answer] = []
    query: dict[str, Any] = {} if as_of is None else {"as_of": as_of}
    name, _, rest = path.partition("?")
    query |= dict(pair.split("=") for pair in rest.split("&") if pair)
    while True:
        answer = api.get(f"/v1/jobs/{job_id}{name}", params=query)
        body = answer.json()
        found.append((answer.status_code, body))
        if body.get("next") is None:
            return found
        query["cursor"] = body["next"]


def _happen(api: Api, job_id: str, random: Random) -> None:
    """A random command that the state of the job allows."""
    api.clock.advance(timedelta(seconds=1))
    path, job = f"/v1/jobs/{job_id}", api.get(f"/v1/jobs/{job_id}").json()["job"]
    if job["open_run"] is not None:
        outcome = SUCCESS if random.random() < 0.6 else FAILURE
        api.end_run(job_id, job["open_run"]["run_id"], outcome)
    elif job["status"] == "active":
        step = random.randrange(4)
        if step == 0:
            api.post(f"{path}/pause")
        elif step == 1:
            api.ask("PATCH", path, json={"task": f"task {random.random()}"})
        else:
            api.start_run(job_id)
    else:
        api.post(f"{path}/resume", {"force": True})


@pytest.mark.parametrize(
    ("seed", "steps"),
    [(1, 12), *(pytest.param(seed, 28, marks=pytest.mark.slow) for seed in (2, 3))],
)
def test_a_past_answer_equals_the_answer_given_then(api: Api, seed: int, steps: int) -> None:
    random = Random(seed)
    job_id = api.schedule("watched", policy={"trip_after": 2})
    kept: dict[tuple[int, str], tuple[str, list[Answer]]] = {}
    for step in range(steps):
        if step == steps - 1:
            api.ask("DELETE", f"/v1/jobs/{job_id}")
        elif step:
            _happen(api, job_id, random)
        position, instant = api.ledger.writer.position, rfc3339(api.clock.now())
        for path in PATHS:
            kept[position, path] = (instant, _asked(api, job_id, path))
        api.clock.advance(timedelta(seconds=1))
        api.schedule(f"other {step}")

    for (position, path), (instant, answers) in kept.items():
        for as_of in (str(position), instant):
            assert _asked(api, job_id, path, as_of) == answers, f"seed {seed}, {path} at {as_of}"
    assert len(kept) == steps * len(PATHS)


@pytest.mark.parametrize("path", ["", "/events", "/runs"])
def test_before_it_was_scheduled_there_is_no_job(api: Api, path: str) -> None:
    before = rfc3339(api.clock.now())
    api.clock.advance(timedelta(seconds=1))
    job_id = api.schedule()

    for as_of in ("0", "1", before):
        answer = api.get(f"/v1/jobs/{job_id}{path}", params={"as_of": as_of})
        problem(answer, 404, "job_not_found")


@pytest.mark.parametrize("path", ["", "/events", "/runs"])
@pytest.mark.parametrize(
    "as_of", ["99", "9" * 400, "2999-01-01T00:00:00Z", "yesterday", "-1", "", "2026-03-02T12:00:00"]
)
def test_an_as_of_that_is_not_in_the_past_is_refused(api: Api, path: str, as_of: str) -> None:
    job_id = api.schedule()

    answer = api.get(f"/v1/jobs/{job_id}{path}", params={"as_of": as_of})

    assert problem(answer, 422, "invalid_field")["field"] == "as_of"

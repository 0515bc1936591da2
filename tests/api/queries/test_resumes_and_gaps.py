"""Forced resumes and their outcomes, and gaps, over HTTP."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ledger.clock import rfc3339
from tests.api.harness import Api, problem
from tests.oracles import gaps as gap_oracle
from tests.simulation import invariants as laws
from tests.support.builders import DAY, FAILURE, HOUR
from tests.support.lives import FLEET, Life

EVERY_HOUR = {"kind": "every", "interval_seconds": 3600, "anchor": "grid"}


def force(api: Api, job_id: str, *, by: str = "operator") -> None:
    assert api.post(f"/v1/jobs/{job_id}/resume", {"force": True}, by=by).status_code == 200


def run(api: Api, job_id: str, *, holds: bool) -> None:
    run_id = api.start_run(job_id)
    api.end_run(job_id, run_id, *([] if holds else [FAILURE]))


def refusal(api: Api, job_id: str) -> dict[str, Any]:
    return problem(api.post(f"/v1/jobs/{job_id}/resume"), 409, "force_required")


# -- forced resumes -------------------------------------------------------------------------------


def test_the_first_outcome_after_a_resume_decides(api: Api) -> None:
    held, broken, paused, deleted, waiting = ids = [api.failed_job(f"job {n}") for n in range(5)]
    for job_id in ids:
        force(api, job_id)
    run(api, held, holds=True)
    for job_id in (held, broken):
        run(api, job_id, holds=False)
    api.post(f"/v1/jobs/{paused}/pause")
    api.ask("DELETE", f"/v1/jobs/{deleted}")

    answer = api.get("/v1/resumes", by="viewer").json()

    outcomes = ["held", "re_tripped", "paused_again", "deleted", "open"]
    assert [one["outcome"] for one in answer["resumes"]] == outcomes[::-1]
    first = answer["resumes"][-1]
    assert (first["job_id"], first["actor"]["id"], first["run_count"], first["trip_count"]) == (
        held, "operator-token", 1, 1,
    )  # fmt: skip
    assert answer["rates"]["all"] == {
        "count": 5, "decided_count": 4, "held_count": 1, "rate": 0.25
    }  # fmt: skip
    [open_one] = api.get("/v1/resumes?outcome=open").json()["resumes"]
    assert open_one["job_id"] == waiting


def test_the_refusal_quotes_how_many_held(api: Api) -> None:
    first = refusal(api, api.failed_job("first"))
    assert "forced resume" not in first["detail"]
    for number, holds in enumerate((True, False, True)):
        job_id = api.failed_job(f"job {number}")
        force(api, job_id)
        run(api, job_id, holds=holds)

    last = api.failed_job("last")
    api.get("/v1/resumes")  # the refusal does not wait for read models
    found = refusal(api, last)

    assert '{"force": true}' in found["detail"]
    assert found["detail"].endswith(
        "Of 3 forced resumes after rate_limited failures in the last 90 days 2 held."
    )
    assert (found["resumes_decided"], found["resumes_held"]) == (3, 2)
    api.clock.advance(91 * DAY)
    assert "forced resumes" not in refusal(api, api.failed_job("much later"))["detail"]


def test_the_refusal_needs_no_working_read_models(api: Api) -> None:
    api.parts.read_models.wait_seconds = 0.1
    with api.broken_read_model("resumes"):
        job_id = api.failed_job()
        assert '{"force": true}' in refusal(api, job_id)["detail"]


# -- gaps -----------------------------------------------------------------------------------------


def test_a_gap_is_open_until_the_job_resumes_and_then_recorded(api: Api) -> None:
    job_id = api.schedule(schedule=EVERY_HOUR)
    api.post(f"/v1/jobs/{job_id}/pause")
    api.clock.advance(5 * HOUR)
    answer = api.get("/v1/gaps", by="viewer").json()
    assert answer["gaps"] == []
    [gap] = answer["open"]
    assert (gap["job_id"], gap["cause"], gap["count"]) == (job_id, "paused", 5)
    assert gap["position"] is gap["recorded_at"] is None

    api.post(f"/v1/jobs/{job_id}/resume")

    answer = api.get("/v1/gaps").json()
    assert (answer["open"], answer["open_count"]) == ([], 0)
    [recorded] = answer["gaps"]
    assert recorded["position"] == api.ledger.writer.position
    own = ("job_id", "job_name", "cause", "count", "first", "last", "capped")
    assert {key: recorded[key] for key in own} == {key: gap[key] for key in own}


def test_open_gaps_name_each_cause(api: Api) -> None:
    wanted = {
        api.schedule("due", schedule=EVERY_HOUR): "downtime",
        api.schedule(
            "for workers", schedule=EVERY_HOUR, executor={"kind": "worker", "queue": "gpu"}
        ): "no_worker",
        api.schedule("off", schedule=EVERY_HOUR, enabled=False): "disabled",
        api.paused_job(schedule=EVERY_HOUR): "paused",
        api.failed_job(schedule=EVERY_HOUR): "failed",
    }
    running = api.schedule("long", schedule=EVERY_HOUR)
    api.clock.advance(HOUR)
    api.claim_run(running)
    api.clock.advance(3 * HOUR)

    found = {gap["job_id"]: gap["cause"] for gap in api.get("/v1/gaps").json()["open"]}

    assert found == wanted | {running: "overlap"}


def test_gaps_are_filtered_by_job_tag_cause_and_time(api: Api) -> None:
    tagged = api.schedule("tagged", schedule=EVERY_HOUR, tags=["night"])
    other = api.schedule("other", schedule=EVERY_HOUR)
    for job_id in (tagged, other):
        api.post(f"/v1/jobs/{job_id}/pause")
    api.clock.advance(3 * HOUR)
    later = rfc3339(api.clock.now() + HOUR)
    api.post(f"/v1/jobs/{tagged}/resume")

    def asked(**query: str) -> tuple[list[str], list[str]]:
        answer = api.get("/v1/gaps", params=query).json()
        return [g["job_id"] for g in answer["gaps"]], [g["job_id"] for g in answer["open"]]

    assert asked(tag="night") == ([tagged], [])
    assert asked(job=other) == ([], [other])
    assert asked(cause="paused") == ([tagged], [other])
    assert asked(cause="failed") == ([], [])
    api.clock.advance(2 * HOUR)
    assert asked(since=later, cause="paused") == ([], [other])


def test_open_gaps_are_listed_up_to_the_limit_and_counted(api: Api) -> None:
    for number in range(4):
        api.schedule(f"job {number}", schedule=EVERY_HOUR)
    api.clock.advance(2 * HOUR)

    answer = api.get("/v1/gaps?limit=3").json()

    assert (len(answer["open"]), answer["open_count"]) == (3, 4)


@pytest.mark.parametrize("seed", [8, 10])
def test_open_gaps_equal_the_missed_slots_of_the_events_now_and_in_the_past(
    framed: Api, seed: int
) -> None:
    life, met, kept = Life(framed.ledger, seed, FLEET), Counter[str](), {}
    for step in range(150):
        life.step()
        if step % 3 == 0:
            now, found = framed.clock.now(), open_gaps(framed)
            kept[rfc3339(now)] = found
            for job_id, events in laws.histories(framed.ledger).items():
                if events[0]["data"]["schedule"]["kind"] == "cron":
                    wanted = gap_oracle.open_gaps(events, now)
                    assert found.get(job_id, []) == wanted, f"seed {seed}, step {step}"
                    met.update(gap["cause"] for gap in wanted or [{"cause": "None"}])

    assert {"None", "paused", "failed", "disabled", "overlap", "downtime"} <= met.keys()
    for instant, found in kept.items():
        assert open_gaps(framed, as_of=instant) == found, f"seed {seed}, {instant}"


def open_gaps(api: Api, **query: Any) -> dict[str, list[dict[str, Any]]]:
    """The missed slots by job, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for gap in api.get("/v1/gaps", params={"limit": 1000, **query}).json()["open"]:
        plain = {name: gap[name] for name in ("cause", "count", "first", "last")}
        found.setdefault(gap["job_id"], []).append(plain)
    return found


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/resumes", "/v1/gaps"])
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"since": "2026-03-02T12:00:00"}, "invalid_field"),
        ({"since": "2026-03-02T12:00:00Z", "until": "2026-03-01T12:00:00Z"}, "invalid_field"),
        ({"cursor": "x"}, "invalid_field"),
        ({"limit": "0"}, "invalid_field"),
        ({"job": "x"}, "invalid_field"),
        ({"colour": "red"}, "unknown_field"),
        ({"outcome": "fine", "cause": "fate"}, None),
    ],
)
def test_an_invalid_query_is_refused(
    api: Api, path: str, query: dict[str, str], code: str | None
) -> None:
    assert problem(api.get(path, params=query), 422, code or "invalid_field")


def test_resumes_of_an_unknown_actor_are_refused(api: Api) -> None:
    answer = problem(api.get("/v1/resumes?actor=nobody"), 422, "invalid_field")

    assert answer["field"] == "actor"
    assert api.get("/v1/resumes?actor=admin").json()["resumes"] == []


def test_until_may_equal_since(api: Api) -> None:
    at = rfc3339(api.clock.now())

    assert api.get("/v1/resumes", params={"since": at, "until": at}).status_code == 200

"""Why over HTTP: the shape of the answer, and refusals."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledger.clock import rfc3339
from tests.api.harness import Api, problem
from tests.support.builders import HOUR

KEYS = {
    "job_id", "job_name", "at", "position", "answer", "text", "chain", "would_run", "next_run_at",
    "last_run",
}  # fmt: skip
LINK = {"position", "topic", "recorded_at", "actor", "reason", "text"}


def test_why_has_a_code_a_sentence_and_links_with_positions(api: Api) -> None:
    job_id = api.failed_job()

    answer = api.get(f"/v1/jobs/{job_id}/why", by="viewer").json()

    why = answer["why"]
    assert why.keys() == KEYS
    assert all(link.keys() == LINK for link in why["chain"])
    assert [link["topic"] for link in why["chain"]] == ["job.run_failed", "job.circuit_tripped"]
    assert why["answer"] == "tripped"
    assert why["last_run"]["failure_class"] == "rate_limited"
    assert "--force" in why["would_run"][0]["command"]
    assert answer["position"] == why["position"] == api.ledger.writer.position


def test_why_takes_an_instant_or_a_position(api: Api) -> None:
    job_id = api.schedule()
    position, instant = api.ledger.writer.position, rfc3339(api.clock.now())
    api.clock.advance(HOUR)
    api.ask("DELETE", f"/v1/jobs/{job_id}")

    for at in (str(position), instant):
        answer = api.get(f"/v1/jobs/{job_id}/why", params={"at": at}).json()
        assert (answer["why"]["answer"], answer["position"]) == ("waiting", position)
        assert answer["why"]["at"] == instant
    assert api.get(f"/v1/jobs/{job_id}/why").json()["why"]["answer"] == "deleted"


def test_before_it_was_scheduled_a_job_is_not_yet(api: Api) -> None:
    before = rfc3339(api.clock.now() - timedelta(seconds=1))
    job_id = api.schedule()

    why = api.get(f"/v1/jobs/{job_id}/why", params={"at": before}).json()["why"]

    assert (why["answer"], why["job_name"], why["position"]) == ("not_yet", "report", 0)
    assert api.get(f"/v1/jobs/{job_id}/why?at=0").json()["why"]["answer"] == "not_yet"


@pytest.mark.parametrize(
    "at", ["yesterday", "2026-03-02T12:00:00", "-1", "", "9" * 30, "4", "2026-03-03T12:00:00Z"]
)
def test_an_at_that_is_invalid_or_not_in_the_past_is_refused(api: Api, at: str) -> None:
    job_id = api.schedule()
    end = api.ledger.writer.position
    assert end == 3

    answer = problem(api.get(f"/v1/jobs/{job_id}/why", params={"at": at}), 422, "invalid_field")

    assert answer["field"] == "at"
    assert api.ledger.writer.position == end


@pytest.mark.parametrize("job_id", ["x", "00000000-0000-4000-8000-000000000001"])
def test_an_unknown_job_is_refused(api: Api, job_id: str) -> None:
    problem(api.get(f"/v1/jobs/{job_id}/why"), 404, "job_not_found")


def test_why_is_answered_while_read_models_are_stopped(api: Api) -> None:
    api.parts.read_models.wait_seconds = 0.1
    with api.broken_read_model("storms"):
        job_id = api.failed_job()

        assert api.get(f"/v1/jobs/{job_id}/why").json()["why"]["answer"] == "tripped"

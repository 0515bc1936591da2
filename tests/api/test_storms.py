"""Storms over HTTP: brought about through the ledger, told as they are when asked."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from ledger.domain import outcomes
from ledger.store import run_commands
from tests.api.harness import Api, problem
from tests.builders import DAY


def a_storm(api: Api) -> list[str]:
    """Three jobs that fail of one thing at once, and go on; their ids."""
    ids = [api.schedule(f"job {number}") for number in range(3)]
    api.clock.advance(DAY)
    for job_id in ids:
        call = api.ledger.call()
        claim = run_commands.claim(UUID(job_id), call, node="node-1", is_late=False)
        claimed = api.ledger.ask(claim)
        assert claimed is not None
        failure = outcomes.Failure("429", "rate_limited", "api.example.com", None, 7)
        api.end_run(job_id, claimed.run.run_id, failure)
    return ids


def test_a_storm_is_told_with_its_jobs_and_its_first_failure(api: Api) -> None:
    ids = a_storm(api)

    [listed] = api.get("/v1/storms", by="viewer").json()["storms"]

    storm = api.get(f"/v1/storms/{listed['id']}", by="viewer").json()["storm"]
    assert storm["is_open"]
    assert storm["over_at"] is None
    assert (storm["failure_count"], storm["job_count"]) == (3, 3)
    assert [job["id"] for job in storm["jobs"]] == ids
    assert storm["id"] == f"S-{storm['first_failure']['position']}"
    assert listed.items() <= storm.items()


def test_a_storm_is_over_by_silence_though_nothing_says_so(api: Api) -> None:
    a_storm(api)
    assert len(api.get("/v1/storms?open=true").json()["storms"]) == 1

    api.clock.advance(timedelta(minutes=70))

    assert api.get("/v1/storms?open=true").json()["storms"] == []
    [storm] = api.get("/v1/storms").json()["storms"]
    assert not storm["is_open"]
    assert storm["over_at"] is not None


@pytest.mark.parametrize("storm_id", ["S-1", "S-0", "s-1", "S-", "x", "S-" + "9" * 40])
def test_a_storm_that_does_not_exist_is_refused(api: Api, storm_id: str) -> None:
    problem(api.get(f"/v1/storms/{storm_id}"), 404, "not_found")

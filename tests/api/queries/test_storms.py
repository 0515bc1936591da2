"""Storms over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ledger.application.commands.deliveries import RecordNotice
from ledger.domain.streams.notices import NoticeOutcome
from tests.api.harness import Api, problem
from tests.support.builders import DAY, HOUR


def test_a_storm_is_answered_with_its_jobs_and_first_failure(api: Api) -> None:
    _, ids = api.storm()

    [listed] = api.get("/v1/storms", by="viewer").json()["storms"]

    storm = api.get(f"/v1/storms/{listed['id']}", by="viewer").json()["storm"]
    assert storm["is_open"]
    assert storm["over_at"] is None
    assert (storm["failure_count"], storm["job_count"]) == (3, 3)
    assert [job["id"] for job in storm["jobs"]] == ids
    assert storm["id"] == f"S-{storm['first_failure']['position']}"
    assert listed.items() <= storm.items()


def test_a_storm_ends_by_silence_without_an_event(api: Api) -> None:
    api.storm()
    assert len(api.get("/v1/storms?open=true").json()["storms"]) == 1

    api.clock.advance(timedelta(minutes=70))

    assert api.get("/v1/storms?open=true").json()["storms"] == []
    [storm] = api.get("/v1/storms").json()["storms"]
    assert not storm["is_open"]
    assert storm["over_at"] is not None


def test_a_storm_that_does_not_exist_is_refused(api: Api) -> None:
    for storm_id in ("S-1", "x", "S-" + "9" * 40):
        problem(api.get(f"/v1/storms/{storm_id}"), 404, "not_found")


def test_a_storm_counts_the_fires_that_its_tripped_jobs_lost(api: Api) -> None:
    storm_id, ids = api.storm(trip_after=1)
    tripped = api.ledger.writer.position
    api.clock.advance(DAY)

    def lost(as_of: object = None) -> Any:
        query = "" if as_of is None else f"?as_of={as_of}"
        return api.get(f"/v1/storms/{storm_id}{query}").json()["storm"]["fires_lost"]

    still = lost()
    first = api.post(f"/v1/jobs/{ids[0]}/resume", {"force": True}).json()
    back = lost()

    [missed] = [
        event["data"]["missed"]["count"]
        for event in api.get("/v1/events?topic=job.force_resumed").json()["events"]
    ]
    assert missed > 0
    assert still == {"count": 3 * missed, "still_failed_jobs": 3, "at_least": False}
    assert back == {"count": 3 * missed, "still_failed_jobs": 2, "at_least": False}
    api.clock.advance(DAY)
    later = lost()
    assert later["still_failed_jobs"] == 2
    assert later["count"] > 3 * missed
    assert lost(first["position"]) == back
    assert lost(tripped)["count"] == 0


def test_a_job_resumed_by_a_probe_has_lost_its_fires_too(api: Api) -> None:
    storm_id, [probed, *others] = api.storm(trip_after=1, probe_after_seconds=3600)
    for job_id in others:
        api.post(f"/v1/jobs/{job_id}/resume", {"force": True})
    api.clock.advance(2 * HOUR)

    api.end_run(probed, api.claim_run(probed))

    [closed] = api.get("/v1/events?topic=job.circuit_closed").json()["events"]
    missed = closed["data"]["missed"]["count"]
    api.clock.advance(DAY)
    lost = api.get(f"/v1/storms/{storm_id}").json()["storm"]["fires_lost"]
    assert missed >= 120
    assert lost == {"count": missed, "still_failed_jobs": 0, "at_least": False}


def test_a_storm_lists_the_notices_sent(api: Api) -> None:
    storm_id, _ = api.storm()
    before = api.ledger.writer.position
    notice = NoticeOutcome(
        "storm_opened", "slack", "owner", 1, 2, False, "no token", storm_id=storm_id
    )

    api.ledger.execute(RecordNotice(notice, api.ledger.context()))

    [notice] = api.get(f"/v1/storms/{storm_id}").json()["storm"]["told"]
    assert notice["kind"] == "storm_opened"
    assert (notice["channel"], notice["target"]) == ("slack", "owner")
    assert (notice["is_sent"], notice["outcome"]) == (False, "no token")
    assert api.get(f"/v1/storms/{storm_id}?as_of={before}").json()["storm"]["told"] == []

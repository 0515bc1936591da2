"""How a recovery ends: completed, aborted because jobs trip again, or aborted by an operator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ledger.dispatch.recovery_driver import PATIENCE_SECONDS
from ledger.domain.recovery.plan import Terms
from tests.support.builders import HOUR, MINUTE
from tests.support.recovery_fleet import RATE_LIMITED, RecoveryFleet

SECOND = timedelta(seconds=1)
LONGEST = 12 * HOUR
SOON = {"kind": "every", "interval_seconds": 10}


def test_jobs_that_trip_again_abort_the_recovery(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(20, schedule=SOON)
    fleet.fails = lambda _: True
    forecast = fleet.ledger.preview_recovery(RATE_LIMITED, Terms(abort_on=2))
    fleet.start(abort_on=2)

    ended = fleet.live_until_ended("R-1", HOUR)

    assert (ended["status"], ended["cause"], ended["re_trip_count"]) == ("aborted", "re_trips", 2)
    [aborted] = fleet.events("recovery.aborted")
    left = [one["job_id"] for one in ended["jobs"] if one["outcome"] == "left"]
    assert aborted["data"]["left"] == left
    assert sum(one["tripped_again_at"] is not None for one in ended["jobs"]) == 2
    assert ended["left_count"] > 10
    assert (forecast["can_stop_in_time"], forecast["stop_text"]) == (True, None)
    assert aborted["actor"] == ended["ended_by"] == {"id": "dispatcher", "kind": "system"}
    assert ended["end_reason"] is None
    fleet.live(HOUR)
    assert fleet.statuses(ids)[-10:] == ["failed"] * 10


@pytest.mark.parametrize(
    ("terms", "status", "least_trips"),
    [({"rate_per_minute": 60}, "aborted", 3), ({"abort_on": None}, "completed", 6)],
    ids=["a limit that comes too late", "no limit"],
)
def test_every_job_is_resumed_where_no_limit_of_trips_comes_in_time(
    small: RecoveryFleet, terms: dict[str, Any], status: str, least_trips: int
) -> None:
    small.trip(6, schedule=SOON)
    small.fails = lambda _: True
    forecast = small.ledger.preview_recovery(RATE_LIMITED, Terms(**terms))
    small.start(**terms)

    ended = small.live_until_ended("R-1", HOUR)

    assert (ended["status"], ended["resumed_count"], ended["left_count"]) == (status, 6, 0)
    assert least_trips <= ended["re_trip_count"] <= 6
    assert not forecast["can_stop_in_time"]
    assert (forecast["stop_text"] is not None) is (status == "aborted")


def test_a_trip_before_a_jobs_step_does_not_count_for_the_recovery(small: RecoveryFleet) -> None:
    """An operator forced it meanwhile, and it tripped again before its step."""
    ids = small.trip(12)
    small.start(*ids, abort_on=1)
    small.driver.run_once()
    small.ledger.resume(ids[-1], force=True, run_now=True)
    small.fails = lambda _: True
    small.live(5 * SECOND)
    assert small.statuses(ids[-1:]) == ["failed"]
    small.fails = lambda _: False

    ended = small.live_until_ended("R-1", LONGEST)

    assert (ended["status"], ended["resumed_count"], ended["re_trip_count"]) == ("completed", 12, 0)
    assert {one["tripped_again_at"] for one in ended["jobs"]} == {None}


def test_an_operator_can_abort_a_recovery_and_a_second_abort_changes_nothing(
    fleet: RecoveryFleet,
) -> None:
    ids = fleet.trip(9)
    fleet.start()
    fleet.live(7 * SECOND)

    stopped = fleet.ledger.abort_recovery("R-1", reason="not before nine")
    again = fleet.ledger.abort_recovery("R-1", reason="really")
    fleet.live(HOUR)

    assert (stopped["status"], stopped["cause"], stopped["left_count"]) == ("aborted", "asked", 7)
    assert again == stopped
    [event] = fleet.events("recovery.aborted")
    assert event["reason"] == stopped["end_reason"] == "not before nine"
    assert event["actor"] == stopped["ended_by"] == {"id": "library", "kind": "user"}
    assert fleet.statuses(ids).count("failed") == 7


def test_a_recovery_completes_once_every_job_had_its_first_outcome(small: RecoveryFleet) -> None:
    *_, deleted = small.trip(4)
    small.start()
    small.ledger.delete(deleted)
    small.live(20 * MINUTE)
    assert small.shown("R-1")["status"] == "settling"

    ended = small.live_until_ended("R-1", LONGEST)

    assert ended["status"] == "completed"
    assert ended["ended_at"] > "2026-03-02T14:00:12"
    [completed] = small.events("recovery.completed")
    assert (completed["data"]["resumed"], completed["data"]["refused"]) == (3, 1)
    assert (ended["resumed_count"], ended["refused_count"]) == (3, 1)


def test_a_recovery_does_not_wait_forever_for_a_job_that_runs_once_a_day(
    small: RecoveryFleet,
) -> None:
    small.trip(2, schedule={"kind": "cron", "expr": "0 13 * * *"})
    small.start()
    began = small.clock.now()

    small.live_until_ended("R-1", LONGEST)

    assert small.clock.now() - began < timedelta(seconds=PATIENCE_SECONDS + 30)

"""When the jobs of a recovery are resumed: one by one, at its rate, each in one recovery only."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pytest import raises

from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.application.commands.recoveries import StartRecovery
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.domain.recovery.plan import NothingToResume, Terms
from ledger.maintenance.verify import verify_event_store
from tests.support.builders import HOUR, MINUTE
from tests.support.recovery_fleet import RATE_LIMITED, RecoveryFleet, a_recovery_fleet

SECOND = timedelta(seconds=1)


def test_jobs_are_resumed_one_by_one_and_do_not_share_their_minute(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(12)
    began = fleet.clock.now()

    fleet.start(rate_per_minute=6)
    ended = fleet.live_until_ended("R-1", 12 * HOUR)

    assert (ended["status"], ended["resumed_count"], ended["re_trip_count"]) == ("completed", 12, 0)
    at = [event["timestamp"] for event in fleet.events("recovery.stepped")]
    assert at == sorted(at)
    assert [one["place"] for one in fleet.steps()] == list(range(12))
    starts = fleet.starts_per_minute(began + MINUTE)
    assert {f"{at:%H:%M}": n for at, n in starts.items()} == {"14:00": 6, "14:01": 6}
    assert fleet.statuses(ids) == ["active"] * 12
    assert verify_event_store(fleet.ledger.event_store).is_sound


def test_sixty_jobs_of_one_cron_minute_are_spread_as_the_dry_run_forecast(tmp_path: Path) -> None:
    """The same fleet twice: forced by hand all at once, and recovered."""
    with a_recovery_fleet(tmp_path / "by hand") as fleet:
        hour = fleet.clock.now() + 2 * HOUR
        for job_id in fleet.trip(60):
            fleet.ledger.resume(job_id, force=True)
        fleet.live(2 * HOUR)
        at_once = fleet.starts_per_minute(hour)
    with a_recovery_fleet(tmp_path / "staggered") as fleet:
        fleet.trip(60)
        forecast = fleet.ledger.preview_recovery(RATE_LIMITED)["fires"]
        fleet.start()
        fleet.live(2 * HOUR)
        starts = fleet.starts_per_minute(hour)
        staggered = {at: n for at, n in starts.items() if at < hour + HOUR - MINUTE}

    assert list(at_once.values())[0] == 60 == forecast["at_once_peak"]
    assert list(staggered.values()) == [10] * 6
    assert forecast["staggered_peak"] == 10
    said = {one["minute"][11:16]: one["staggered"] for one in forecast["per_minute"]}
    happened = {f"{at:%H:%M}": n for at, n in staggered.items()}
    assert {minute: n for minute, n in said.items() if n} == happened


def test_a_step_and_the_jobs_event_are_one_append_on_behalf_of_the_planner(
    fleet: RecoveryFleet,
) -> None:
    [job_id] = fleet.trip(1)
    fleet.start(reason="the limit is lifted")
    fleet.settle()

    [stepped] = fleet.events("recovery.stepped")
    [forced] = fleet.events("job.force_resumed")

    assert forced["position"] == stepped["position"] + 1
    assert forced["command_id"] == stepped["command_id"]
    assert forced["data"]["recovery_id"] == "R-1"
    assert forced["data"]["next_run_at"] == stepped["data"]["next_run_at"]
    assert stepped["data"]["job_version"] == fleet.ledger.fold(job_id).version
    assert {forced["actor"]["id"], stepped["actor"]["id"]} == {"library"}
    assert (forced["reason"], forced["source"]) == ("the limit is lifted", "library")


def test_a_driver_that_was_down_does_not_catch_up(fleet: RecoveryFleet) -> None:
    fleet.trip(8)
    fleet.start()
    fleet.live(10 * SECOND)
    assert len(fleet.steps()) == 2

    fleet.clock.advance(HOUR)
    fleet.die()

    for span, step_count in ((0, 3), (5, 3), (1, 4)):
        fleet.live(span * SECOND)
        assert len(fleet.steps()) == step_count


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "ahead"])
@pytest.mark.parametrize("dies", [False, True], ids=["alive", "killed"])
def test_a_clock_jump_neither_speeds_up_nor_delays_a_recovery(
    small: RecoveryFleet, jump: timedelta, dies: bool
) -> None:
    small.trip(9)
    small.start()
    small.live(7 * SECOND)
    assert len(small.steps()) == 2

    small.clock.at += jump
    if dies:
        small.die()
    small.live(12 * SECOND)

    assert len(small.steps()) in (4, 5)


def test_a_job_is_in_one_open_recovery_at_a_time(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(4)
    fleet.start(*ids[:3])
    fleet.driver.run_once()

    second = fleet.start()

    assert second["id"] == "R-2"
    assert [one["job_id"] for one in second["jobs"]] == [str(ids[3])]
    assert [one["code"] for one in second["refused"]] == ["job_in_recovery"] * 2
    with raises(NothingToResume):
        fleet.start()
    fleet.ledger.abort_recovery("R-1")
    assert fleet.ledger.preview_recovery(RATE_LIMITED)["job_count"] == 2


def test_two_plans_of_one_batch_get_two_numbers_and_no_job_twice(small: RecoveryFleet) -> None:
    small.trip(3)
    plans = [StartRecovery(RATE_LIMITED, Terms(), small.ledger.context()) for _ in range(2)]

    [first, second] = small.ledger.submit(plans).result()

    assert first.changed
    assert isinstance(second, NothingToResume)
    assert [one["id"] for one in small.ledger.recoveries.page()[0]] == ["R-1"]


def test_a_started_driver_continues_by_itself(tmp_path: Path) -> None:
    with a_recovery_fleet(tmp_path / "data") as fleet:
        ids = fleet.trip(5)
    with Ledger.open(tmp_path / "data") as ledger:
        driver = RecoveryDriver(ledger)
        driver.start()
        ledger.start_recovery(RATE_LIMITED, Terms(rate_per_minute=600))
        try:
            wait_for(
                "The last step",
                lambda: ledger.recoveries.one("R-1")["resumed_count"] == len(ids),
                seconds=60,
            )
        finally:
            driver.close()

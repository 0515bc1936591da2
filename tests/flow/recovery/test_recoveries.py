"""Recoveries on simulated time, by the real dispatcher and the real driver, on both stores."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest import raises

from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.application.commands.recoveries import StartRecovery
from ledger.application.ledger import Limits
from ledger.dispatch.recovery_driver import PATIENCE_SECONDS, RecoveryDriver
from ledger.domain.recovery.plan import NothingToResume, Terms
from ledger.domain.recovery.recovery import RecoveryNotFound
from ledger.domain.recovery.selection import Selector
from ledger.errors import InvalidField
from ledger.maintenance.verify import verify_event_store
from ledger.store.cluster import AlwaysLeader
from tests.contract.stores import PostgresStoreHarness
from tests.support.builders import HOUR, MINUTE, ManualClock, a_spec
from tests.support.recovery_fleet import HOURLY, RecoveryFleet, a_recovery_fleet

LIMITED = Selector(failure_class="rate_limited")
SECOND = timedelta(seconds=1)
LONGEST = 12 * HOUR


@pytest.fixture(params=["sqlite", "postgres"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RecoveryFleet]:
    if request.param == "sqlite":
        place: Any = tmp_path / "data"
    else:
        place = request.getfixturevalue("postgres_harness").address
    with a_recovery_fleet(place) as fleet:
        yield fleet


@pytest.fixture
def small(tmp_path: Path) -> Iterator[RecoveryFleet]:
    with a_recovery_fleet(tmp_path / "data") as fleet:
        yield fleet


def steps(fleet: RecoveryFleet) -> list[dict[str, Any]]:
    return [event["data"] for event in fleet.events("recovery.stepped")]


def statuses(fleet: RecoveryFleet, ids: list[UUID]) -> list[str]:
    return [str(fleet.ledger.job(job_id)["status"]) for job_id in ids]


# -- the drip -----------------------------------------------------------------------------------


def test_jobs_are_resumed_one_by_one_and_do_not_share_their_minute(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(12)
    began = fleet.clock.now()

    fleet.ledger.start_recovery(LIMITED, Terms(rate_per_minute=6), reason="the limit is lifted")
    ended = fleet.live_until_ended("R-1", LONGEST)

    assert (ended["status"], ended["resumed_count"], ended["re_trip_count"]) == ("completed", 12, 0)
    at = [event["timestamp"] for event in fleet.events("recovery.stepped")]
    assert at == sorted(at)
    assert [one["place"] for one in steps(fleet)] == list(range(12))
    by_minute = {
        at.strftime("%H:%M"): n for at, n in fleet.starts_per_minute(began + MINUTE).items()
    }
    assert by_minute == {"14:00": 6, "14:01": 6}
    assert statuses(fleet, ids) == ["active"] * 12
    assert verify_event_store(fleet.ledger.event_store).is_sound


def test_sixty_jobs_of_one_cron_minute_are_spread_as_the_dry_run_forecast(tmp_path: Path) -> None:
    """The same fleet twice: forced by hand all at once, and recovered."""
    with a_recovery_fleet(tmp_path / "by hand") as fleet:
        began = fleet.clock.now()
        for job_id in fleet.trip(60):
            fleet.ledger.resume(job_id, force=True)
        fleet.live(2 * HOUR)
        at_once = {
            at: n for at, n in fleet.starts_per_minute(began).items() if at >= began + 2 * HOUR
        }
    with a_recovery_fleet(tmp_path / "staggered") as fleet:
        fleet.trip(60)
        forecast = fleet.ledger.preview_recovery(LIMITED)["fires"]
        fleet.ledger.start_recovery(LIMITED)
        fleet.live(2 * HOUR)
        staggered = {
            at: n
            for at, n in fleet.starts_per_minute(began).items()
            if began + 2 * HOUR <= at < began + 3 * HOUR - MINUTE
        }

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
    fleet.ledger.start_recovery(LIMITED, reason="the limit is lifted")
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
    fleet.ledger.start_recovery(LIMITED)
    fleet.live(10 * SECOND)
    assert len(steps(fleet)) == 2

    fleet.clock.advance(HOUR)
    fleet.die()
    fleet.settle()

    assert len(steps(fleet)) == 3
    fleet.live(5 * SECOND)
    assert len(steps(fleet)) == 3
    fleet.live(SECOND)
    assert len(steps(fleet)) == 4


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
@pytest.mark.parametrize("dies", [False, True])
def test_a_clock_jump_neither_speeds_up_nor_delays_a_recovery(
    small: RecoveryFleet, jump: timedelta, dies: bool
) -> None:
    small.trip(9)
    small.ledger.start_recovery(LIMITED)
    small.live(7 * SECOND)
    assert len(steps(small)) == 2

    small.clock.at += jump
    if dies:
        small.die()
    small.live(12 * SECOND)

    assert len(steps(small)) in (4, 5)


# -- the probe ----------------------------------------------------------------------------------


def test_the_probe_runs_at_once_and_the_others_wait_for_it(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(3)
    fleet.ledger.start_recovery(LIMITED, Terms(probe=ids[2]))

    fleet.settle()

    assert [one["job_id"] for one in steps(fleet)] == [str(ids[2])]
    assert fleet.shown("R-1")["status"] == "probing"
    assert fleet.shown("R-1")["next_step_at"] is None
    assert len(fleet.work.running) == 1
    fleet.live(7 * SECOND)
    assert fleet.shown("R-1")["status"] == "dripping"
    assert len(steps(fleet)) == 2


def test_a_failed_probe_aborts_the_recovery_and_the_others_stay_failed(
    fleet: RecoveryFleet,
) -> None:
    ids = fleet.trip(3)
    fleet.fails = lambda _: True
    fleet.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))

    ended = fleet.live_until_ended("R-1", HOUR)

    assert (ended["status"], ended["cause"], ended["left_count"]) == ("aborted", "probe_failed", 2)
    assert [one["outcome"] for one in ended["jobs"]] == ["resumed", "left", "left"]
    assert statuses(fleet, ids) == ["failed"] * 3
    fleet.live(HOUR)
    assert len(fleet.events("recovery.aborted", "recovery.stepped")) == 2


def test_the_probes_outcome_is_shown_with_the_position_of_its_run(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(2)
    fleet.fails = lambda _: True
    fleet.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))

    [probe, other] = fleet.live_until_ended("R-1", HOUR)["jobs"]

    failure = fleet.events("job.run_failed")[-1]
    assert probe["first_outcome"] == {
        "outcome": "failed",
        "run_id": failure["data"]["run_id"],
        "failure_class": "rate_limited",
        "error": "429 Too Many Requests",
        "recorded_at": failure["recorded_at"],
        "position": failure["position"],
    }
    assert probe["first_fire_at"] == probe["step_at"] < failure["timestamp"]
    assert (other["first_outcome"], other["first_fire_at"]) == (None, None)


def test_each_jobs_outcome_is_shown_with_its_name(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(4, schedule={"kind": "every", "interval_seconds": 60})
    fleet.ledger.amend(ids[0], {"enabled": False})
    fleet.fails = lambda claimed: claimed.name == "job 002"
    fleet.ledger.start_recovery(Selector(job_ids=tuple(ids)), Terms(abort_on=None))
    fleet.live(78 * SECOND)
    planned = fleet.events("recovery.planned")[0]["position"]
    fleet.ledger.amend(ids[1], {"name": "another"})
    fleet.ledger.delete(ids[3])

    shown = fleet.shown("R-1")

    first = [one["first_outcome"] for one in shown["jobs"]]
    assert [one and one["outcome"] for one in first] == ["succeeded", "failed", "deleted"]
    assert [one and one["failure_class"] for one in first] == [None, "rate_limited", None]
    assert shown["jobs"][1]["tripped_again_at"]
    assert [one["name"] for one in shown["jobs"]] == ["another", "job 002", "job 003"]
    assert [one["name"] for one in shown["refused"]] == ["job 000"]
    then = fleet.ledger.recoveries.one("R-1", as_of=planned)["jobs"]
    assert [one["name"] for one in then] == ["job 001", "job 002", "job 003"]


def test_the_outcome_of_a_run_that_was_lost_names_its_cause(small: RecoveryFleet) -> None:
    ids = small.trip(1)
    small.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
    small.settle()
    small.die()

    [job] = small.live_until_ended("R-1", HOUR)["jobs"]

    outcome = job["first_outcome"]
    assert (outcome["outcome"], outcome["failure_class"]) == ("lost", "lost")
    assert outcome["error"] == "owner_restarted"


def test_a_probe_that_fails_without_tripping_aborts_the_recovery_too(small: RecoveryFleet) -> None:
    ids = small.trip(2, policy={"trip_after": 1})
    small.ledger.amend(ids[0], {"policy": {"trip_after": 5}})
    small.fails = lambda _: True

    small.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))

    assert small.live_until_ended("R-1", HOUR)["cause"] == "probe_failed"
    assert statuses(small, ids) == ["active", "failed"]


@pytest.mark.parametrize("what", ["pause", "delete"])
def test_a_deleted_probe_aborts_the_recovery(small: RecoveryFleet, what: str) -> None:
    ids = small.trip(2)
    small.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
    small.driver.run_once()

    getattr(small.ledger, what)(ids[0])

    assert small.live_until_ended("R-1", HOUR)["cause"] == "probe_failed"


def test_a_probe_lost_with_its_node_aborts_the_recovery(small: RecoveryFleet) -> None:
    ids = small.trip(2)
    small.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
    small.settle()

    small.die()

    assert small.live_until_ended("R-1", HOUR)["cause"] == "probe_failed"
    assert small.events("job.run_lost")


def test_a_probe_that_changed_before_its_step_aborts_the_recovery(small: RecoveryFleet) -> None:
    ids = small.trip(2)
    small.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
    small.ledger.amend(ids[0], {"enabled": False})

    ended = small.live_until_ended("R-1", HOUR)

    assert (ended["cause"], ended["jobs"][0]["code"]) == ("probe_failed", "job_disabled")


def test_a_probe_that_is_never_run_is_not_a_success(small: RecoveryFleet) -> None:
    ids = small.trip(2)
    small.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
    assert [small.driver.run_once(), small.driver.run_once()] == [1, 0]
    small.clock.advance(timedelta(seconds=PATIENCE_SECONDS - 1))
    assert small.driver.run_once() == 0

    small.clock.advance(SECOND)
    small.driver.run_once()

    assert small.shown("R-1")["cause"] == "probe_failed"


@pytest.mark.parametrize("probe", [UUID(int=5), None])
def test_the_probe_must_be_one_of_the_resumed_jobs(
    small: RecoveryFleet, probe: UUID | None
) -> None:
    [disabled, _] = small.trip(2)
    small.ledger.amend(disabled, {"enabled": False})
    position = small.ledger.writer.position

    with raises(InvalidField, match="probe"):
        small.ledger.start_recovery(LIMITED, Terms(probe=probe or disabled))

    assert small.ledger.writer.position == position


# -- giving up ----------------------------------------------------------------------------------


def test_jobs_that_trip_again_abort_the_recovery(fleet: RecoveryFleet) -> None:
    every = {"kind": "every", "interval_seconds": 10}
    ids = fleet.trip(20, schedule=every)
    fleet.fails = lambda _: True
    forecast = fleet.ledger.preview_recovery(LIMITED, Terms(abort_on=2))
    fleet.ledger.start_recovery(LIMITED, Terms(abort_on=2))

    ended = fleet.live_until_ended("R-1", HOUR)

    assert (ended["status"], ended["cause"], ended["re_trip_count"]) == ("aborted", "re_trips", 2)
    [aborted] = fleet.events("recovery.aborted")
    assert aborted["data"]["left"] == [
        one["job_id"] for one in ended["jobs"] if one["outcome"] == "left"
    ]
    assert sum(one["tripped_again_at"] is not None for one in ended["jobs"]) == 2
    assert ended["left_count"] > 10
    assert (forecast["can_stop_in_time"], forecast["stop_text"]) == (True, None)
    assert aborted["actor"] == ended["ended_by"] == {"id": "dispatcher", "kind": "system"}
    assert ended["end_reason"] is None
    fleet.live(HOUR)
    assert "failed" in statuses(fleet, ids)[-10:]


def test_a_limit_that_comes_too_late_is_reported(small: RecoveryFleet) -> None:
    small.trip(6, schedule={"kind": "every", "interval_seconds": 10})
    small.fails = lambda _: True
    terms = Terms(rate_per_minute=60)
    forecast = small.ledger.preview_recovery(LIMITED, terms)
    small.ledger.start_recovery(LIMITED, terms)

    ended = small.live_until_ended("R-1", HOUR)

    assert (ended["resumed_count"], ended["left_count"]) == (6, 0)
    assert not forecast["can_stop_in_time"]
    assert forecast["stop_text"].startswith("All jobs are resumed before 3 can trip again")


def test_without_a_limit_jobs_that_trip_again_do_not_abort_a_recovery(small: RecoveryFleet) -> None:
    small.trip(6, schedule={"kind": "every", "interval_seconds": 10})
    small.fails = lambda _: True
    small.ledger.start_recovery(LIMITED, Terms(abort_on=None))

    ended = small.live_until_ended("R-1", HOUR)

    assert (ended["status"], ended["resumed_count"], ended["re_trip_count"]) == ("completed", 6, 6)


def test_a_trip_before_a_jobs_step_does_not_count_for_the_recovery(small: RecoveryFleet) -> None:
    """An operator forced it meanwhile, and it tripped again before its step."""
    ids = small.trip(12)
    small.ledger.start_recovery(Selector(job_ids=tuple(ids)), Terms(abort_on=1))
    small.driver.run_once()
    last = ids[-1]
    small.ledger.resume(last, force=True, run_now=True)
    small.fails = lambda _: True
    small.live(5 * SECOND)
    assert statuses(small, [last]) == ["failed"]
    small.fails = lambda _: False

    ended = small.live_until_ended("R-1", LONGEST)

    assert (ended["status"], ended["resumed_count"], ended["re_trip_count"]) == ("completed", 12, 0)
    assert {one["tripped_again_at"] for one in ended["jobs"]} == {None}


def test_an_operator_can_abort_a_recovery_and_a_second_abort_changes_nothing(
    fleet: RecoveryFleet,
) -> None:
    ids = fleet.trip(9)
    fleet.ledger.start_recovery(LIMITED)
    fleet.live(7 * SECOND)

    stopped = fleet.ledger.abort_recovery("R-1", reason="not before nine")
    again = fleet.ledger.abort_recovery("R-1", reason="really")
    fleet.live(HOUR)

    assert (stopped["status"], stopped["cause"], stopped["left_count"]) == ("aborted", "asked", 7)
    assert again == stopped
    [event] = fleet.events("recovery.aborted")
    assert event["reason"] == stopped["end_reason"] == "not before nine"
    assert event["actor"] == stopped["ended_by"] == {"id": "library", "kind": "user"}
    assert statuses(fleet, ids).count("failed") == 7


# -- jobs that changed meanwhile ----------------------------------------------------------------


def test_a_job_that_changed_meanwhile_is_refused_and_stays_as_it_is(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(6)
    _, resumed, gone, disabled, paused, _ = ids
    fleet.ledger.start_recovery(Selector(job_ids=tuple(ids)))
    fleet.ledger.resume(resumed, force=True)
    fleet.ledger.delete(gone)
    fleet.ledger.amend(disabled, {"enabled": False})
    fleet.ledger.resume(paused, force=True)
    fleet.ledger.pause(paused)
    versions = {job_id: fleet.ledger.fold(job_id).version for job_id in ids}

    fleet.live(5 * MINUTE)

    shown = {one["job_id"]: one["code"] or one["outcome"] for one in steps(fleet)}
    assert [shown[str(job_id)] for job_id in ids] == [
        "resumed", "job_not_failed", "job_not_found", "job_disabled", "job_not_failed", "resumed",
    ]  # fmt: skip
    for job_id in (resumed, gone, disabled, paused):
        assert fleet.ledger.fold(job_id).version == versions[job_id]


def test_a_job_is_in_one_open_recovery_at_a_time(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(4)
    fleet.ledger.start_recovery(Selector(job_ids=tuple(ids[:3])))
    fleet.driver.run_once()

    second = fleet.ledger.start_recovery(LIMITED)

    assert second["id"] == "R-2"
    assert [one["job_id"] for one in second["jobs"]] == [str(ids[3])]
    assert [one["code"] for one in second["refused"]] == ["job_in_recovery"] * 2
    with raises(NothingToResume):
        fleet.ledger.start_recovery(LIMITED)
    fleet.ledger.abort_recovery("R-1")
    assert fleet.ledger.preview_recovery(LIMITED)["job_count"] == 2


def test_two_plans_of_one_batch_get_two_numbers_and_no_job_twice(small: RecoveryFleet) -> None:
    small.trip(3)
    plans = [StartRecovery(LIMITED, Terms(), small.ledger.context()) for _ in range(2)]

    [first, second] = small.ledger.submit(plans).result()

    assert first.changed
    assert isinstance(second, NothingToResume)
    assert [one["id"] for one in small.ledger.recoveries.page()[0]] == ["R-1"]


# -- its end ------------------------------------------------------------------------------------


def test_a_recovery_completes_once_every_job_had_its_first_outcome(small: RecoveryFleet) -> None:
    small.trip(3)
    small.ledger.start_recovery(LIMITED)
    small.live(20 * MINUTE)
    assert small.shown("R-1")["status"] == "settling"

    ended = small.live_until_ended("R-1", LONGEST)

    assert ended["status"] == "completed"
    assert ended["ended_at"] > "2026-03-02T14:00:12"


def test_a_recovery_does_not_wait_forever_for_a_job_that_runs_once_a_day(
    small: RecoveryFleet,
) -> None:
    small.trip(2, schedule={"kind": "cron", "expr": "0 13 * * *"})
    small.ledger.start_recovery(LIMITED)
    began = small.clock.now()

    small.live_until_ended("R-1", LONGEST)

    assert small.clock.now() - began < timedelta(seconds=PATIENCE_SECONDS + 30)


# -- crashes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_probe", [False, True])
def test_whenever_the_process_dies_the_end_is_the_same(tmp_path: Path, has_probe: bool) -> None:
    ends = [tried(tmp_path / str(deaths), deaths, has_probe) for deaths in (None, 0, 1, 2, 3)]

    assert all(end == ends[0] for end in ends)
    assert ends[0][0] == "completed"


def tried(folder: Path, deaths: int | None, has_probe: bool) -> tuple[Any, ...]:
    """How a recovery ends when the process dies after each of its appends, so many times."""
    with a_recovery_fleet(folder) as fleet:
        ids = fleet.trip(4)
        changed = ids[2]
        fleet.ledger.start_recovery(
            Selector(job_ids=tuple(ids)), Terms(probe=ids[0] if has_probe else None)
        )
        fleet.ledger.amend(changed, {"enabled": False})
        if deaths is not None:
            fleet.die()
        end = fleet.clock.now() + LONGEST
        while fleet.shown("R-1")["ended_at"] is None:
            assert fleet.clock.now() < end
            version = len(fleet.events("recovery.stepped", "recovery.completed"))
            fleet.step()
            is_quiet = not fleet.work.running  # a lost run is another case
            grew = len(fleet.events("recovery.stepped", "recovery.completed")) > version
            for _ in range(deaths or 0) if grew and is_quiet else ():
                fleet.die()
        shown = fleet.shown("R-1")
        assert verify_event_store(fleet.ledger.event_store).is_sound
        order = [ids.index(UUID(one["job_id"])) for one in steps(fleet)]
        outcomes = [one["outcome"] for one in shown["jobs"]]
        return shown["status"], order, outcomes, [shown["resumed_count"], shown["refused_count"]]


def test_a_step_committed_without_an_answer_is_not_taken_again(small: RecoveryFleet) -> None:
    """The driver died between its append and the answer: the next one finds it in the store."""
    small.trip(3)
    small.ledger.start_recovery(LIMITED)
    stale = RecoveryDriver(small.ledger)
    stale._read_open()
    small.driver.run_once()

    [course] = stale._open.values()
    again = stale._step(course, small.clock.now())
    assert again is not None

    assert small.ledger.execute(again) is False
    assert len(steps(small)) == 1


# -- several nodes ------------------------------------------------------------------------------


@pytest.fixture
def pair(postgres_harness: PostgresStoreHarness) -> Iterator[tuple[RecoveryFleet, RecoveryFleet]]:
    clock = ManualClock()
    with ExitStack() as closing:
        worlds = [RecoveryFleet(postgres_harness.address, clock) for _ in range(2)]
        for fleet in worlds:
            closing.callback(fleet.close)
        yield worlds[0], worlds[1]


def test_each_step_is_taken_by_one_of_two_drivers(
    pair: tuple[RecoveryFleet, RecoveryFleet],
) -> None:
    """Even where both believe that they hold the leader lock."""
    one, other = pair
    ids = one.trip(30)
    one.ledger.start_recovery(LIMITED)
    for fleet in pair:
        fleet.driver._leader_lock.close()
        fleet.driver._leader_lock = AlwaysLeader()

    for _ in range(40):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda fleet: fleet.driver.run_once(), pair))
        one.clock.advance(6 * SECOND)

    assert sorted(one_["job_id"] for one_ in steps(one)) == sorted(map(str, ids))
    assert [one_["place"] for one_ in steps(one)] == list(range(30))
    assert len(one.events("job.force_resumed")) == 30
    at = [event["timestamp"] for event in one.events("recovery.stepped")]
    assert len(set(at)) == 30
    assert verify_event_store(other.ledger.event_store).is_sound


def test_only_the_leader_drives_and_the_other_takes_over(
    pair: tuple[RecoveryFleet, RecoveryFleet],
) -> None:
    one, other = pair
    one.trip(5)
    one.ledger.start_recovery(LIMITED)
    assert [one.driver.run_once(), other.driver.run_once()] == [1, 0]
    one.clock.advance(6 * SECOND)
    assert [other.driver.run_once(), one.driver.run_once()] == [0, 1]

    one.driver.close()
    one.clock.advance(6 * SECOND)

    assert other.driver.run_once() == 1
    assert [one_["place"] for one_ in steps(one)] == [0, 1, 2]


def test_a_new_leader_does_not_decide_on_stale_state(
    pair: tuple[RecoveryFleet, RecoveryFleet],
) -> None:
    one, other = pair
    one.trip(1)
    other.ledger.submit(()).result()
    follower = other.ledger._listener
    assert follower is not None
    follower.close()
    one.ledger.start_recovery(LIMITED)
    assert one.driver.run_once() == 1

    one.driver.close()

    assert other.driver.run_once() == 0
    assert other.shown("R-1")["status"] == "settling"


def test_two_plans_on_two_nodes_share_no_job(pair: tuple[RecoveryFleet, RecoveryFleet]) -> None:
    ids = pair[0].trip(10)
    for fleet in pair:
        fleet.ledger.submit(()).result()

    def planned(fleet: RecoveryFleet) -> object:
        try:
            return fleet.ledger.start_recovery(LIMITED)["id"]
        except NothingToResume as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(planned, pair))

    assert sorted(map(str, answers)) == ["R-1", "nothing_to_resume"]
    assert pair[1].shown("R-1")["job_count"] == len(ids)


# -- queries ---------------------------------------------------------------------------------


def test_a_dry_run_lists_resumed_and_refused_jobs_and_records_nothing(
    fleet: RecoveryFleet,
) -> None:
    ids = fleet.trip(4)
    fleet.ledger.amend(ids[1], {"enabled": False})
    position = fleet.ledger.writer.position
    named = Selector(job_ids=tuple(ids))
    terms = Terms(probe=ids[3], rate_per_minute=30)

    plan = fleet.ledger.preview_recovery(named, terms)

    assert fleet.ledger.writer.position == position
    assert [one["job_id"] for one in plan["jobs"]] == [str(ids[at]) for at in (3, 0, 2)]
    assert [one["step_at"][14:] for one in plan["jobs"]] == ["00:02Z", "00:04Z", "00:06Z"]
    assert [one["first_fire_at"][11:] for one in plan["jobs"]] == [
        "13:00:02Z", "14:00:02Z", "14:00:04Z",
    ]  # fmt: skip
    [refused] = plan["refused"]
    assert (refused["job_id"], refused["code"]) == (str(ids[1]), "job_disabled")
    assert refused["name"] == "job 001"
    planned = fleet.ledger.start_recovery(named, terms)
    assert [one["job_id"] for one in planned["jobs"]] == [one["job_id"] for one in plan["jobs"]]


def test_a_repeated_key_gets_the_recovery_as_it_was_then(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(4, schedule={"kind": "every", "interval_seconds": 10})
    fleet.fails = lambda claimed: claimed.name == "job 003"
    fleet.ledger.start_recovery(LIMITED, Terms(probe=ids[0], abort_on=None))
    then: dict[int, Any] = {}
    while not then or fleet.shown("R-1")["ended_at"] is None:
        position = fleet.ledger.event_store.tail_position()
        then[position] = (fleet.shown("R-1"), fleet.ledger.recoveries.page())
        fleet.step()

    assert len(then) > 10
    for position, (shown, page) in then.items():
        assert fleet.ledger.recoveries.one("R-1", as_of=position) == shown
        assert fleet.ledger.recoveries.page(as_of=position) == page
    first = min(then)
    with raises(RecoveryNotFound):
        fleet.ledger.recoveries.one("R-1", as_of=first - 1)


def test_recoveries_are_listed_by_pages_the_newest_first(small: RecoveryFleet) -> None:
    for number in range(5):
        small.trip(1, name=f"lot {number}")
        small.ledger.start_recovery(LIMITED)
        small.settle()

    first, cursor = small.ledger.recoveries.page(limit=2)
    second, cursor = small.ledger.recoveries.page(limit=2, cursor=cursor)
    third, end = small.ledger.recoveries.page(limit=2, cursor=cursor)

    listed = [one["id"] for one in (*first, *second, *third)]
    assert listed == ["R-5", "R-4", "R-3", "R-2", "R-1"]
    assert end is None


@pytest.mark.parametrize("name", ["R-1", "R-0", "r-1", "R-", "x", "R-01", "R-" + "9" * 40])
def test_a_recovery_that_does_not_exist_is_not_found(small: RecoveryFleet, name: str) -> None:
    with raises(RecoveryNotFound):
        small.shown(name)
    with raises(RecoveryNotFound):
        small.ledger.abort_recovery(name)


def test_a_live_recovery_needs_a_reason_where_forcing_does_and_a_dry_run_needs_none(
    tmp_path: Path,
) -> None:
    with a_recovery_fleet(tmp_path / "data") as fleet:
        fleet.trip(1)
    limits, clock = Limits(requires_reason=True), fleet.clock
    with Ledger.open(tmp_path / "data", clock=clock, limits=limits) as ledger:
        assert ledger.preview_recovery(LIMITED)["job_count"] == 1
        with raises(InvalidField, match="reason"):
            ledger.start_recovery(LIMITED)
        assert ledger.start_recovery(LIMITED, reason="lifted")["id"] == "R-1"


# -- its thread ---------------------------------------------------------------------------------


def test_a_started_driver_continues_by_itself(tmp_path: Path) -> None:
    with a_recovery_fleet(tmp_path / "data") as fleet:
        ids = fleet.trip(5)
    with Ledger.open(tmp_path / "data") as ledger:
        driver = RecoveryDriver(ledger)
        driver.start()
        ledger.start_recovery(LIMITED, Terms(rate_per_minute=600))
        try:
            wait_for(
                "The last step",
                lambda: ledger.recoveries.one("R-1")["resumed_count"] == len(ids),
                seconds=60,
            )
        finally:
            driver.close()


def test_a_job_of_one_cron_minute_that_is_scheduled_later_is_not_touched(
    small: RecoveryFleet,
) -> None:
    small.trip(2)
    other = small.ledger.schedule(a_spec(name="bystander", schedule=HOURLY)).job_id
    small.ledger.start_recovery(LIMITED)

    small.live(MINUTE)

    assert small.ledger.fold(other).version == 1

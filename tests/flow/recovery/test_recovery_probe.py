"""The probe of a recovery: the others follow if it succeeds, and in no other case."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from pytest import raises

from ledger.dispatch.recovery_driver import PATIENCE_SECONDS
from ledger.errors import InvalidField
from tests.support.builders import HOUR
from tests.support.recovery_fleet import RecoveryFleet

SECOND = timedelta(seconds=1)


def test_the_probe_runs_at_once_and_the_others_wait_for_it(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(3)
    fleet.start(probe=ids[2])

    fleet.settle()

    assert [one["job_id"] for one in fleet.steps()] == [str(ids[2])]
    assert fleet.shown("R-1")["status"] == "probing"
    assert fleet.shown("R-1")["next_step_at"] is None
    assert len(fleet.work.running) == 1
    for span, step_count in ((3, 1), (4, 2)):
        fleet.live(span * SECOND)
        assert fleet.shown("R-1")["status"] == "dripping"
        assert len(fleet.steps()) == step_count


def test_the_probes_outcome_is_shown_with_the_position_of_its_run(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(2)
    fleet.start(probe=ids[0])
    fails(fleet, ids[0])

    ended = fleet.live_until_ended("R-1", HOUR)

    [probe, other] = ended["jobs"]
    assert (ended["cause"], other["outcome"]) == ("probe_failed", "left")
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


def fails(fleet: RecoveryFleet, probe: UUID) -> None:
    fleet.fails = lambda _: True


def fails_without_tripping(fleet: RecoveryFleet, probe: UUID) -> None:
    fleet.ledger.amend(probe, {"policy": {"trip_after": 5}})
    fails(fleet, probe)


def is_paused_before_its_run(fleet: RecoveryFleet, probe: UUID) -> None:
    fleet.driver.run_once()
    fleet.ledger.pause(probe)


def is_deleted_before_its_run(fleet: RecoveryFleet, probe: UUID) -> None:
    fleet.driver.run_once()
    fleet.ledger.delete(probe)


def is_lost_with_its_node(fleet: RecoveryFleet, probe: UUID) -> None:
    fleet.settle()
    fleet.die()


def is_disabled_before_its_step(fleet: RecoveryFleet, probe: UUID) -> None:
    fleet.ledger.amend(probe, {"enabled": False})


def is_never_run(fleet: RecoveryFleet, probe: UUID) -> None:
    assert [fleet.driver.run_once(), fleet.driver.run_once()] == [1, 0]
    fleet.clock.advance(timedelta(seconds=PATIENCE_SECONDS - 1))
    assert fleet.driver.run_once() == 0
    fleet.clock.advance(SECOND)
    fleet.driver.run_once()


@pytest.mark.parametrize(
    ("happens", "outcome", "cause"),
    [
        (fails, "failed", "429 Too Many Requests"),
        (fails_without_tripping, "failed", "429 Too Many Requests"),
        (is_paused_before_its_run, "paused", None),
        (is_deleted_before_its_run, "deleted", None),
        (is_lost_with_its_node, "lost", "owner_restarted"),
        (is_disabled_before_its_step, None, "job_disabled"),
        (is_never_run, None, None),
    ],
)
def test_a_probe_that_does_not_succeed_aborts_the_recovery(
    small: RecoveryFleet,
    happens: Callable[[RecoveryFleet, UUID], None],
    outcome: str | None,
    cause: str | None,
) -> None:
    ids = small.trip(3)
    small.start(probe=ids[0])
    happens(small, ids[0])

    ended = small.live_until_ended("R-1", HOUR)

    assert (ended["status"], ended["cause"], ended["left_count"]) == ("aborted", "probe_failed", 2)
    probe, *others = ended["jobs"]
    first = probe["first_outcome"] or {"outcome": None, "error": probe["code"]}
    assert (first["outcome"], first["error"]) == (outcome, cause)
    small.live(HOUR)
    assert [one["outcome"] for one in others] == ["left", "left"]
    assert small.statuses(ids[1:]) == ["failed", "failed"]
    assert len(small.events("recovery.aborted", "recovery.stepped")) == 2


@pytest.mark.parametrize("probe", [UUID(int=5), None], ids=["unknown", "disabled"])
def test_the_probe_must_be_one_of_the_resumed_jobs(
    small: RecoveryFleet, probe: UUID | None
) -> None:
    [disabled, _] = small.trip(2)
    small.ledger.amend(disabled, {"enabled": False})
    position = small.ledger.writer.position

    with raises(InvalidField, match="probe"):
        small.start(probe=probe or disabled)

    assert small.ledger.writer.position == position

"""What is shown of a recovery: each job's outcome and name, now and as of any earlier position."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from pytest import raises

from ledger.domain.recovery.recovery import RecoveryNotFound
from projections import Queries
from tests.support.builders import HOUR
from tests.support.recovery_fleet import RecoveryFleet


def test_each_jobs_outcome_is_shown_with_its_name(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(4, schedule={"kind": "every", "interval_seconds": 60})
    fleet.ledger.amend(ids[0], {"enabled": False})
    fleet.fails = lambda claimed: claimed.name == "job 002"
    fleet.start(*ids, abort_on=None)
    fleet.live(timedelta(seconds=78))
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


def test_a_recovery_is_shown_as_of_a_position_as_it_was_then(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(4, schedule={"kind": "every", "interval_seconds": 10})
    fleet.fails = lambda claimed: claimed.name == "job 003"
    fleet.start(probe=ids[0], abort_on=None)
    then: dict[int, Any] = {}
    while not then or fleet.shown("R-1")["ended_at"] is None:
        position = fleet.ledger.event_store.tail_position()
        then[position] = (fleet.shown("R-1"), fleet.ledger.recoveries.page())
        if not (fleet.driver.run_once() or fleet.dispatcher.run_once()):
            fleet.step()

    assert {shown["status"] for shown, _ in then.values()} >= {"probing", "dripping", "settling"}
    for position, (shown, page) in then.items():
        assert fleet.ledger.recoveries.one("R-1", as_of=position) == shown
        assert fleet.ledger.recoveries.page(as_of=position) == page
    with raises(RecoveryNotFound):
        fleet.ledger.recoveries.one("R-1", as_of=min(then) - 1)


def test_recoveries_are_listed_by_pages_the_newest_first(small: RecoveryFleet) -> None:
    for number in range(5):
        small.trip(1, name=f"lot {number}")
        small.start()
        small.settle()

    first, cursor = small.ledger.recoveries.page(limit=2)
    second, cursor = small.ledger.recoveries.page(limit=2, cursor=cursor)
    third, end = small.ledger.recoveries.page(limit=2, cursor=cursor)

    listed = [[one["id"] for one in page] for page in (first, second, third)]
    assert (listed, end) == ([["R-5", "R-4"], ["R-3", "R-2"], ["R-1"]], None)


def test_a_resume_of_a_recovery_names_it_and_one_by_hand_names_none(small: RecoveryFleet) -> None:
    by_hand, *ids = small.trip(3)
    small.ledger.resume(by_hand, force=True)
    small.start()
    small.live_until_ended("R-1", 12 * HOUR)

    with Queries.open(small.ledger) as answers:
        shown = answers.resumes()["resumes"]

    assert {UUID(one["job_id"]): one["recovery_id"] for one in shown} == {
        by_hand: None, ids[0]: "R-1", ids[1]: "R-1"
    }  # fmt: skip

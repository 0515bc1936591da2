"""Recoveries on several nodes of one database: each step and each plan is taken once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import pytest

from ledger.domain.recovery.plan import NothingToResume
from ledger.maintenance.verify import verify_event_store
from ledger.store.cluster import AlwaysLeader
from tests.contract.stores import PostgresStoreHarness
from tests.support.builders import ManualClock
from tests.support.recovery_fleet import RecoveryFleet

SECONDS = timedelta(seconds=6)
Pair = tuple[RecoveryFleet, RecoveryFleet]


@pytest.fixture
def pair(postgres_harness: PostgresStoreHarness) -> Iterator[Pair]:
    clock = ManualClock()
    with ExitStack() as closing:
        nodes = [RecoveryFleet(postgres_harness.address, clock) for _ in range(2)]
        for node in nodes:
            closing.callback(node.close)
        yield nodes[0], nodes[1]


def test_each_step_is_taken_by_one_of_two_drivers(pair: Pair) -> None:
    """Even where both believe that they hold the leader lock."""
    one, other = pair
    ids = one.trip(30)
    one.start()
    for node in pair:
        node.driver._leader_lock.close()
        node.driver._leader_lock = AlwaysLeader()

    for _ in range(40):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda node: node.driver.run_once(), pair))
        one.clock.advance(SECONDS)

    assert sorted(step["job_id"] for step in one.steps()) == sorted(map(str, ids))
    assert [step["place"] for step in one.steps()] == list(range(30))
    assert len(one.events("job.force_resumed")) == 30
    assert len({event["timestamp"] for event in one.events("recovery.stepped")}) == 30
    assert verify_event_store(other.ledger.event_store).is_sound


def test_only_the_leader_drives_and_the_other_takes_over(pair: Pair) -> None:
    one, other = pair
    one.trip(5)
    one.start()
    assert [one.driver.run_once(), other.driver.run_once()] == [1, 0]
    one.clock.advance(SECONDS)
    assert [other.driver.run_once(), one.driver.run_once()] == [0, 1]

    one.driver.close()
    one.clock.advance(SECONDS)

    assert other.driver.run_once() == 1
    assert [step["place"] for step in one.steps()] == [0, 1, 2]


def test_a_new_leader_does_not_decide_on_stale_state(pair: Pair) -> None:
    one, other = pair
    one.trip(1)
    other.ledger.submit(()).result()
    follower = other.ledger._listener
    assert follower is not None
    follower.close()
    one.start()
    assert one.driver.run_once() == 1

    one.driver.close()

    assert other.driver.run_once() == 0
    assert other.shown("R-1")["status"] == "settling"


def test_two_plans_on_two_nodes_share_no_job(pair: Pair) -> None:
    ids = pair[0].trip(10)
    for node in pair:
        node.ledger.submit(()).result()

    def planned(node: RecoveryFleet) -> str:
        try:
            return str(node.start()["id"])
        except NothingToResume as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(planned, pair))

    assert sorted(answers) == ["R-1", "nothing_to_resume"]
    assert pair[1].shown("R-1")["job_count"] == len(ids)

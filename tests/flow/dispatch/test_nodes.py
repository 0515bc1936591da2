"""Several ledgers instead of several processes, on one PostgreSQL: all nodes know what one
answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from pytest import raises

from ledger import Ledger
from ledger.application.snapshots import dump_job
from ledger.errors import NameTaken
from ledger.maintenance.verify import verify_event_store
from tests.contract.stores import PostgresStoreHarness
from tests.support.builders import ManualClock, SeededChance, a_spec

COMMANDS = 40
LIMIT_SECONDS = 30.0
"""A hang fails by this; nothing is measured by it."""


@pytest.fixture
def nodes(postgres_harness: PostgresStoreHarness) -> Iterator[list[Ledger]]:
    opened = [
        Ledger.open(postgres_harness.address, clock=ManualClock(), chance=SeededChance(seed))
        for seed in range(2)
    ]
    yield opened
    for ledger in opened:
        ledger.close()


def assert_they_agree(nodes: list[Ledger]) -> None:
    """Every cached job on every node is the fold of its events, and the store verifies."""
    for ledger in nodes:
        ledger.submit(()).result()
    frozen = [{job.id: dump_job(job) for job in ledger.job_cache.snapshot()} for ledger in nodes]
    folded = {job_id: dump_job(nodes[0].fold(job_id)) for job_id in frozen[0]}
    assert frozen == [folded] * len(nodes)
    assert {ledger.writer.position for ledger in nodes} == {nodes[0].event_store.tail_position()}
    assert verify_event_store(nodes[0].event_store).is_sound


def test_a_second_node_knows_what_the_first_answered(nodes: list[Ledger]) -> None:
    job_id = nodes[0].schedule(a_spec(name="report")).job_id

    nodes[1].pause(job_id, reason="why not")

    assert nodes[0].job(job_id)["status"] == "paused"
    assert nodes[0].pause(job_id).changed is False
    with raises(NameTaken):
        nodes[1].schedule(a_spec(name="Report"))
    assert_they_agree(nodes)


def test_an_idle_node_follows_the_others(nodes: list[Ledger]) -> None:
    heard = Event()
    nodes[1].writer.listeners.append(lambda position: heard.set() if position >= 2 else None)

    job_id = nodes[0].schedule(a_spec()).job_id

    assert heard.wait(LIMIT_SECONDS)
    assert [job.id for job in nodes[1].job_cache.snapshot()] == [job_id]


def test_one_name_requested_on_two_nodes_at_once_is_reserved_once(nodes: list[Ledger]) -> None:
    def take(ledger: Ledger) -> list[bool]:
        ended = []
        for number in range(COMMANDS):
            try:
                ledger.schedule(a_spec(name=f"job {number}"))
                ended.append(True)
            except NameTaken:
                ended.append(False)
        return ended

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(take, nodes)

    assert [one + two for one, two in zip(first, second, strict=True)] == [1] * COMMANDS
    assert_they_agree(nodes)


def test_commands_on_one_job_from_two_nodes_all_count(nodes: list[Ledger]) -> None:
    job_id = nodes[0].schedule(a_spec()).job_id

    def tag(number: int) -> None:
        for step in range(COMMANDS):
            nodes[number].amend(job_id, {"tags": [f"{number}-{step}"]})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(tag, range(2)))

    assert nodes[0].fold(job_id).version == 1 + 2 * COMMANDS
    assert_they_agree(nodes)


def test_a_node_that_starts_later_has_everything(
    postgres_harness: PostgresStoreHarness, nodes: list[Ledger]
) -> None:
    ids = {nodes[n % 2].schedule(a_spec(name=f"{n}")).job_id for n in range(6)}
    gone = ids.pop()
    nodes[1].delete(gone)
    nodes.pop(0).close()

    nodes.append(Ledger.open(postgres_harness.address, clock=ManualClock()))

    assert {job.id for job in nodes[-1].job_cache.snapshot()} == ids
    assert_they_agree(nodes)

"""Backends that die during appends (D5): an answer is true or honestly unknown, nothing is lost,
nothing is stored twice, and no false conflict is reported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest

from api.demo.waiting import wait_for
from ledger import Ledger
from tests.contract.stores import PostgresStoreHarness, own_name
from tests.faults.causes.clients import (
    Client,
    clients_running,
    more_answered,
    require_cached_jobs_are_folds,
    require_truth,
)
from tests.faults.causes.shared_nodes import PATIENCE_SECONDS, a_node, under_load
from tests.support.builders import SeededChance, a_spec
from tests.support.servers.databases import a_database

KILLS = 200
NODES = 2
ASKERS = 4
SEED = 20260303
MASSACRES = 5
PAUSES_SECONDS = (0.0, 0.0005, 0.001, 0.002, 0.004)
CUT = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = ("
    "SELECT pid FROM pg_locks WHERE relation = 'append_lock'::regclass ORDER BY random() LIMIT 1)"
)
"""Ends one of the backends that append, or wait for the append lock, right now."""
CUT_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'jobledger'"
)
"""Ends every backend of a node."""


@pytest.fixture
def nodes(postgres_harness: PostgresStoreHarness) -> Iterator[list[Ledger]]:
    opened = [
        Ledger.open(postgres_harness.address, chance=SeededChance(seed)) for seed in range(NODES)
    ]
    yield opened
    for ledger in opened:
        ledger.close()


def cut_until_enough(dsn: str, schema: str) -> int:
    """End backends that append until so many are dead."""
    chance, pause, killed = Random(SEED), threading.Event(), 0
    with psycopg.connect(dsn, autocommit=True) as knife:
        knife.execute(f"SET search_path = {schema}".encode())
        while killed < KILLS:
            row = knife.execute(CUT).fetchone()
            killed += row[0] if row else 0
            pause.wait(chance.choice(PAUSES_SECONDS))
    return killed


@pytest.mark.slow
def test_killed_backends_lose_nothing_repeat_nothing_and_cause_no_conflict(
    postgres_harness: PostgresStoreHarness, nodes: list[Ledger]
) -> None:
    print(f"seed {SEED}")
    askers = [Client(nodes[number % NODES], number) for number in range(ASKERS)]
    with clients_running(askers):
        killed = cut_until_enough(postgres_harness.address.dsn, postgres_harness.address.schema)

    print(f"killed {killed}")
    require_truth(nodes[0], askers)
    for ledger in nodes:
        ledger.schedule(a_spec(name=f"after all {id(ledger)}"))
        require_cached_jobs_are_folds(ledger)


@pytest.mark.slow
def test_a_node_whose_backends_are_killed_repeatedly_recovers_by_itself(
    postgres_dsns: tuple[str, str], tmp_path: Path
) -> None:
    with (
        a_database(postgres_dsns[1], own_name()) as dsn,
        a_node(dsn, tmp_path) as node,
        psycopg.connect(dsn, autocommit=True) as knife,
        under_load(node, ASKERS) as askers,
    ):
        for _ in range(MASSACRES):
            wait_for("Answers", more_answered(askers), seconds=PATIENCE_SECONDS)
            assert knife.execute(CUT_ALL).rowcount > 0

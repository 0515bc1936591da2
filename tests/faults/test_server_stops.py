"""A PostgreSQL server that stops, or crashes, under load (D3): answered commands stay, and nodes
recover by themselves when it is back.
"""

from __future__ import annotations

from pathlib import Path
from signal import SIGINT, SIGQUIT

import pytest

from api.demo.waiting import wait_for
from tests.contract.stores import own_name
from tests.faults.causes.clients import more_answered
from tests.faults.causes.shared_nodes import (
    PATIENCE_SECONDS,
    a_node,
    require_everything_goes_on,
    require_unavailable,
    under_load,
    wait_until_unready,
)
from tests.support.servers.databases import a_database
from tests.support.servers.postgres_server import TestServer

ASKERS = 3
TURNS = [pytest.param(5, marks=pytest.mark.slow, id=f"turn {turn}") for turn in range(4)]
PROOF = pytest.param(125, marks=[pytest.mark.proof, pytest.mark.timeout(3600)], id="proof")
"""How often it stops in each case."""


@pytest.mark.parametrize("signal", [SIGINT, SIGQUIT], ids=["fast", "immediate"])
@pytest.mark.parametrize("stops", [*TURNS, PROOF])
def test_a_server_that_stops_under_load_loses_no_answer(
    own_server: TestServer, tmp_path: Path, signal: int, stops: int
) -> None:
    with (
        a_database(own_server.tcp_dsn, own_name()) as dsn,
        a_node(dsn, tmp_path) as node,
        under_load(node, ASKERS) as askers,
    ):
        for _ in range(stops):
            wait_for("Answers", more_answered(askers, 5), seconds=PATIENCE_SECONDS)
            own_server.stop(signal)
            own_server.start()
        wait_for("Answers", more_answered(askers), seconds=PATIENCE_SECONDS)


@pytest.mark.slow
def test_while_the_server_is_down_commands_are_answered_503_and_readiness_reports_it(
    own_server: TestServer, tmp_path: Path
) -> None:
    with a_database(own_server.tcp_dsn, own_name()) as dsn, a_node(dsn, tmp_path) as node:
        require_everything_goes_on(node, "before")

        own_server.stop(SIGQUIT)
        require_unavailable(node, "meanwhile")
        wait_until_unready(node)
        own_server.start()

        require_everything_goes_on(node, "after")
        names = {job.name for job in node.ledger.job_cache.jobs.values()}
    assert names == {"before", "after"}

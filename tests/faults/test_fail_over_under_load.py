"""A standby takes over from a dead primary under load: every answered command is on it, and nodes
that know both addresses recover by themselves.
"""

from __future__ import annotations

from pathlib import Path
from signal import SIGQUIT

import pytest

from api.demo.waiting import wait_for
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.migrations import migrate
from tests.faults.clients import (
    Client,
    clients_running,
    more_answered,
    require_cached_jobs_are_folds,
    require_truth,
)
from tests.faults.shared_nodes import (
    PATIENCE_SECONDS,
    RUNNING,
    a_node,
    require_everything_goes_on,
    wait_until_unready,
)
from tests.faults.standby import a_pair, address_of, promote
from tests.support.builders import a_spec, an_id

ASKERS = 3


@pytest.mark.slow
def test_nodes_fail_over_under_load_and_no_answered_command_is_lost(tmp_path: Path) -> None:
    with a_pair() as (primary, standby):
        address = address_of(primary, standby)
        migrate(PostgresDsn(address), new_id=an_id(1))
        with a_node(address, tmp_path / "one") as node:
            node.ledger.schedule(a_spec(name="running", **RUNNING))
            askers = [Client(node.ledger, number) for number in range(ASKERS)]
            with clients_running(askers):
                wait_for("Answers", more_answered(askers, 30), seconds=PATIENCE_SECONDS)
                primary.stop(SIGQUIT)
                wait_until_unready(node)
                promote(standby)
                wait_for("Answers", more_answered(askers, 30), seconds=PATIENCE_SECONDS)

            require_everything_goes_on(node, "after all")
            require_truth(node.ledger, askers)
            require_cached_jobs_are_folds(node.ledger)

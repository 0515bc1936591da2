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
from tests.faults.causes.clients import more_answered
from tests.faults.causes.shared_nodes import (
    PATIENCE_SECONDS,
    a_node,
    under_load,
    wait_until_unready,
)
from tests.faults.causes.standby import a_pair, address_of, promote
from tests.support.builders import an_id

ASKERS = 3


@pytest.mark.slow
def test_nodes_fail_over_under_load_and_no_answered_command_is_lost(tmp_path: Path) -> None:
    with a_pair() as (primary, standby):
        address = address_of(primary, standby)
        migrate(PostgresDsn(address), new_id=an_id(1))
        with a_node(address, tmp_path / "one") as node, under_load(node, ASKERS) as askers:
            wait_for("Answers", more_answered(askers, 30), seconds=PATIENCE_SECONDS)
            primary.stop(SIGQUIT)
            wait_until_unready(node)
            promote(standby)
            wait_for("Answers", more_answered(askers, 30), seconds=PATIENCE_SECONDS)

"""A dead primary: commands are refused truthfully, and the node continues by itself at the
standby.
"""

from __future__ import annotations

from signal import SIGQUIT
from uuid import UUID

import pytest

from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.errors import Unavailable
from ledger.maintenance.verify import verify_event_store
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.migrations import migrate
from tests.faults.causes.standby import a_pair, address_of, promote
from tests.support.builders import a_spec, an_id

PATIENCE_SECONDS = 60.0


def keeps(ledger: Ledger, name: str) -> UUID | None:
    """The job, or None while the ledger cannot be read."""
    try:
        return ledger.schedule(a_spec(name=name)).job_id
    except Unavailable:
        return None


@pytest.mark.slow
def test_a_node_fails_over_to_the_standby_and_no_answered_command_is_lost() -> None:
    with a_pair() as (primary, standby):
        address = address_of(primary, standby)
        migrate(PostgresDsn(address), new_id=an_id(1))
        with Ledger.open(address) as ledger:
            answered = {ledger.schedule(a_spec(name=f"job {n}")).job_id for n in range(50)}

            primary.stop(SIGQUIT)
            with pytest.raises(Unavailable):
                ledger.schedule(a_spec(name="meanwhile"))
            promote(standby)
            wait_for("a command", lambda: keeps(ledger, "after all"), seconds=PATIENCE_SECONDS)

            kept = {item.originator_id for item in ledger.event_store.read(after=0, limit=1000)}
            assert answered <= kept
            assert len([job for job in ledger.job_cache.snapshot() if job.name == "after all"]) == 1
            assert verify_event_store(ledger.event_store).is_sound

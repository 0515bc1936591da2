"""A real server that is killed repeatedly during a recovery: the next process continues."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from api.demo.processes import a_server
from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.maintenance.verify import verify_event_store
from ledger.store.audit_query import AuditQuery
from tests.support.recovery_fleet import RecoveryFleet
from tests.support.typed_commands import Shell

LIMIT_SECONDS = 120.0
"""A hang fails by this; nothing is measured by it."""
JOBS, KILLS = 40, 6


@pytest.mark.slow
def test_a_killed_server_takes_no_step_twice_and_skips_no_job(tmp_path: Path) -> None:
    fleet = RecoveryFleet(tmp_path / "data")
    ids = [str(job_id) for job_id in fleet.trip(JOBS, executor={"kind": "noop"})]
    fleet.close()
    shell = Shell(tmp_path)
    words = ("recovery", "start", "--failure-class", "rate_limited", "--rate", "300", "--json")

    for kill in range(KILLS):
        with ExitStack() as closing:
            server = closing.enter_context(a_server(tmp_path))
            if kill == 0:
                shell.ok(*words)
            wait_for_steps(shell, min(JOBS, steps_of(shell) + 5))
            server.process.kill()
            server.process.wait()
    with a_server(tmp_path):
        wait_for_steps(shell, JOBS)

    with Ledger.open(tmp_path / "data") as ledger:
        query = AuditQuery(topics=("recovery.stepped", "job.force_resumed"))
        events = list(ledger.queries.export(query))
        assert verify_event_store(ledger.event_store).is_sound
    for topic in ("recovery.stepped", "job.force_resumed"):
        assert sorted(one["job_id"] for one in events if one["topic"] == topic) == sorted(ids)


def wait_for_steps(shell: Shell, goal: int) -> None:
    wait_for("The steps", lambda: steps_of(shell) >= goal, seconds=LIMIT_SECONDS)


def steps_of(shell: Shell) -> int:
    """How many steps were taken, as the server reports."""
    shown = shell.ok("recovery", "show", "R-1", "--json").document["recovery"]
    return int(shown["resumed_count"])

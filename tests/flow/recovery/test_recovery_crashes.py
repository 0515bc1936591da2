"""A recovery whose process dies: the next one continues, takes no step twice and skips no job."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.demo.processes import a_server
from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.maintenance.verify import verify_event_store
from ledger.store.audit_query import AuditQuery
from tests.support.builders import HOUR
from tests.support.recovery_fleet import RecoveryFleet, a_recovery_fleet
from tests.support.typed_commands import Shell

LIMIT_SECONDS = 120.0
"""A hang fails by this; nothing is measured by it."""
JOBS, KILLS = 40, 6


@pytest.mark.parametrize("has_probe", [False, True])
def test_whenever_the_process_dies_the_end_is_the_same(tmp_path: Path, has_probe: bool) -> None:
    ends = [tried(tmp_path / str(deaths), deaths, has_probe) for deaths in (None, 0, 1, 2, 3)]

    assert all(end == ends[0] for end in ends)
    assert ends[0][0] == "completed"


def tried(folder: Path, deaths: int | None, has_probe: bool) -> tuple[Any, ...]:
    """How a recovery ends when the process dies after each of its appends, so many times."""
    with a_recovery_fleet(folder) as fleet:
        ids = fleet.trip(4)
        fleet.start(*ids, probe=ids[0] if has_probe else None)
        fleet.ledger.amend(ids[2], {"enabled": False})
        if deaths is not None:
            fleet.die()
        end = fleet.clock.now() + 12 * HOUR
        while fleet.shown("R-1")["ended_at"] is None:
            assert fleet.clock.now() < end
            version = len(fleet.events("recovery.stepped", "recovery.completed"))
            fleet.step()
            is_quiet = not fleet.work.running  # a lost run is another case
            grew = len(fleet.events("recovery.stepped", "recovery.completed")) > version
            for _ in range(deaths or 0) if grew and is_quiet else ():
                fleet.die()
        shown = fleet.shown("R-1")
        assert verify_event_store(fleet.ledger.event_store).is_sound
        order = [ids.index(UUID(one["job_id"])) for one in fleet.steps()]
        outcomes = [one["outcome"] for one in shown["jobs"]]
        return shown["status"], order, outcomes, [shown["resumed_count"], shown["refused_count"]]


def test_a_step_committed_without_an_answer_is_not_taken_again(small: RecoveryFleet) -> None:
    """The driver died between its append and the answer: the next one finds it in the store."""
    small.trip(3)
    small.start()
    stale = RecoveryDriver(small.ledger)
    stale._read_open()
    small.driver.run_once()

    [course] = stale._open.values()
    again = stale._step(course, small.clock.now())
    assert again is not None

    assert small.ledger.execute(again) is False
    assert len(small.steps()) == 1


@pytest.mark.slow
def test_a_killed_server_takes_no_step_twice_and_skips_no_job(tmp_path: Path) -> None:
    with a_recovery_fleet(tmp_path / "data") as fleet:
        ids = [str(job_id) for job_id in fleet.trip(JOBS, executor={"kind": "noop"})]
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

"""Playback of real histories: it ends in the state that the jobs really had."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from api.demo.processes import ENVIRONMENT, PROGRAM, ROOT
from ledger.clock import parse_rfc3339
from ledger.domain.job.view import view
from ledger.store.audit_query import AuditQuery
from projections.history.history import History
from projections.history.replay import FleetState, Playback
from tests.simulation import invariants as laws
from tests.simulation.simulation import Simulation
from tests.support.terminal import LIMIT_SECONDS
from tests.support.typed_commands import Shell, tripped_job

STEPS = 300


def jobs_at(simulation: Simulation, history: History, position: int) -> list[dict[str, Any]]:
    """Every job that existed at a position, folded from its events."""
    found = []
    for job_id, events in laws.histories(simulation.ledger).items():
        versions = [event["version"] for event in events if event["position"] <= position]
        if versions:
            job = view(history._complete_state(UUID(job_id), versions[-1]))
            found += [job] if job["status"] != "deleted" else []
    return found


@pytest.mark.parametrize("seed", [41, 42])
def test_a_playback_from_any_position_ends_in_the_real_state(tmp_path: Path, seed: int) -> None:
    simulation, random = Simulation(tmp_path, seed, fault_rate=0.0), Random(seed)
    for _ in range(STEPS):
        simulation.step()
    history = History(simulation.ledger.events)
    events = list(simulation.ledger.queries.export(AuditQuery()))

    for _ in range(6):
        first, last = sorted(random.sample(range(1, len(events)), 2))
        stretch = events[first:last]
        since = parse_rfc3339(stretch[0]["recorded_at"])
        until = parse_rfc3339(stretch[-1]["recorded_at"])
        fleet = FleetState.of(jobs_at(simulation, history, stretch[0]["position"] - 1))
        playback = Playback(fleet, iter(stretch), since=since, until=until)
        while not playback.is_over:
            playback.advance(random.uniform(0, 5))
        wanted = FleetState.of(jobs_at(simulation, history, stretch[-1]["position"]))
        where = f"seed {seed}, {first} to {last}"
        assert fleet.statuses == wanted.statuses, where
        assert fleet.running == wanted.running, where
        assert fleet.failing == wanted.failing, where
        failed = [event for event in stretch if event["topic"] == "job.run_failed"]
        assert sum(fleet.failures.values()) == len(failed), where
        trips = [event for event in stretch if event["topic"] == "job.circuit_tripped"]
        assert fleet.trip_count == len(trips), where
    simulation.close()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_playback_into_a_pipe_is_plain_lines(shell: Shell) -> None:
    for number in range(3):
        tripped_job(shell.data, f"digest {number}")
    [storm] = shell.ok("storm", "list", "--json").document["storms"]

    lines = shell.ok("replay", "--storm", storm["id"]).out.splitlines()

    assert sum("circuit_tripped" in line for line in lines) == 3
    assert "3 failed" in lines[-1]


def test_a_playback_begins_in_the_state_before_its_first_event(shell: Shell) -> None:
    tripped_job(shell.data, "digest")
    shell.ok("delete", "digest", "--yes")

    [deleted] = shell.ok("audit", "--topic", "job.deleted", "--json").document["events"]

    first, *_ = shell.ok("replay", "--since", deleted["recorded_at"]).out.splitlines()

    assert "deleted  digest" in first


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("--storm", "S-1", "--since", "1h"), 2),
        (("--storm", "S-1"), 3),
        (("--since", "2026-03-02T12:00:00"), 2),
        (("--since", "1h", "--until", "2h"), 2),
        (("--since", "2999-01-01T00:00:00Z"), 2),
        (("--since", "1h", "--speed", "0"), 2),
    ],
)
def test_an_invalid_playback_is_refused(shell: Shell, words: tuple[str, ...], code: int) -> None:
    shell.schedule("digest")

    assert shell.type("replay", *words).code == code


def test_keys_control_a_playback_on_a_terminal(shell: Shell) -> None:
    tripped_job(shell.data)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "replay", "--since", "3d", "--speed", "1", "--data", str(shell.data)],
        cwd=ROOT,
        env={**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "30"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = read_until(ours, "one event")
        os.write(ours, b" j")
        shown += read_until(ours, "circuit_tripped")
        os.write(ours, b"q")
        assert process.wait(LIMIT_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "failures/min" in shown


def read_until(terminal: int, words: str) -> str:
    """The output up to a text; a hang fails by the time-out of the test."""
    shown = ""
    while words not in shown:
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown

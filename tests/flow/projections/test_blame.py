"""Blame over seeded histories, compared with a slow recomputation."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from ledger import CommandResult
from projections.history.blame import Blame
from projections.history.history import History
from tests.oracles import blame as blame_oracle
from tests.oracles.fold import Fold
from tests.simulation import invariants as laws
from tests.simulation.simulation import Simulation
from tests.support.builders import a_spec, open_ledger

STEPS = 250


@pytest.mark.parametrize("seed", [21, 22])
def test_every_field_is_blamed_on_the_event_that_set_it(tmp_path: Path, seed: int) -> None:
    simulation, random = Simulation(tmp_path, seed), Random(seed)
    for _ in range(STEPS):
        simulation.step()
    blame = Blame(simulation.ledger.events, History(simulation.ledger.events))

    for job_id, events in laws.histories(simulation.ledger).items():
        for place in {*random.choices(range(len(events)), k=5), len(events) - 1}:
            position = events[place]["position"]
            answer = blame.answer(UUID(job_id), as_of=position)["fields"]
            found = {item["field"]: item["position"] for item in answer}
            wanted = blame_oracle.expected(events[: place + 1])
            where = f"seed {seed}, {job_id} at {position}"
            assert {name: found[name] for name in wanted} == wanted, where
            values = {item["field"]: item["value"] for item in answer}
            state = Fold(events[: place + 1]).state
            for name in ("status", "consecutive_errors", "consecutive_losses"):
                assert values[name] == state[name], where
            assert values["policy.trip_after"] == state["policy"]["trip_after"], where
    simulation.close()


@pytest.mark.parametrize(
    "past",
    [
        {"status": "failed", "consecutive_errors": 4, "last_error": "429"},
        {"status": "paused", "last_run_at": "2026-03-02T11:00:00Z"},
        {"status": "active", "run_count": 7},
    ],
    ids=lambda past: past["status"],
)
def test_imported_fields_are_blamed_on_the_import(tmp_path: Path, past: dict[str, Any]) -> None:
    with open_ledger(tmp_path) as ledger:
        [imported] = ledger.import_jobs("crontab", [{"spec": a_spec(), "origin_id": "7", **past}])
        assert isinstance(imported, CommandResult)
        events = ledger.history(imported.job_id)

        answer = Blame(ledger.events, History(ledger.events)).answer(imported.job_id)

    found = {item["field"]: item["position"] for item in answer["fields"]}
    wanted = blame_oracle.expected(events)
    assert {name: found[name] for name in wanted} == wanted
    topics = {item["field"]: item["topic"] for item in answer["fields"]}
    has_changed = past["status"] != "active"
    assert (topics["status"] == "job.imported") is has_changed
    assert (topics["last_run"] == "job.imported") is ("last_run_at" in past)

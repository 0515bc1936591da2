"""Seeded histories with injected faults, and the invariants that must hold of every one of them."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tests.simulation import invariants as invariants
from tests.simulation.simulation import Simulation

STEPS = 400
SEEDS = range(60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_invariants_hold_under_all_faults(tmp_path: Path, seed: int) -> None:
    live(tmp_path, seed, STEPS, fault_rate=0.05 if seed % 3 else 0.0)


@pytest.mark.parametrize("seed", [1001, 1002])
def test_the_invariants_hold_in_a_short_run(tmp_path: Path, seed: int) -> None:
    live(tmp_path, seed, 120, fault_rate=0.05)


def live(folder: Path, seed: int, steps: int, *, fault_rate: float) -> None:
    print(f"seed {seed}, {steps} steps, fault rate {fault_rate}")
    simulation = Simulation(folder, seed, fault_rate=fault_rate)
    for _ in range(steps):
        simulation.step()
    simulation.calm_down()

    by_job = invariants.histories(simulation.ledger)
    for events in by_job.values():
        invariants.check_history(events)
    invariants.check_launches(simulation.launched, by_job)
    invariants.check_reports(simulation.external_workers, by_job)
    invariants.check_leases(simulation.ledger)
    invariants.check_event_store(simulation.ledger)
    invariants.check_no_job_waits(simulation.ledger)
    invariants.check_read_models(
        simulation.ledger, simulation.read_models, [UUID(job_id) for job_id in by_job]
    )
    for job_id, events in by_job.items():
        invariants.check_slots(simulation.ledger, UUID(job_id), events)
    assert max(simulation.answered, default=0) <= simulation.ledger.event_store.tail_position()
    simulation.close()

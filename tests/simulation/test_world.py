"""Seeded histories with injected faults, and the invariants that must hold of every one of them."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tests.simulation import laws
from tests.simulation.world import World

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
    world = World(folder, seed, fault_rate=fault_rate)
    for _ in range(steps):
        world.step()
    world.calm_down()

    by_job = laws.histories(world.ledger)
    for events in by_job.values():
        laws.check_history(events)
    laws.check_launches(world.launched, by_job)
    laws.check_reports(world.elsewhere, by_job)
    laws.check_leases(world.ledger)
    laws.check_event_store(world.ledger)
    laws.check_nobody_waits(world.ledger)
    laws.check_read_models(world.ledger, world.read_models, [UUID(job_id) for job_id in by_job])
    for job_id, events in by_job.items():
        laws.check_slots(world.ledger, UUID(job_id), events)
    assert max(world.answered, default=0) <= world.ledger.event_store.tail_position()
    world.close()

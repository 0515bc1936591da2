"""Why, at random points of seeded histories with faults, compared with a slow recomputation."""

from __future__ import annotations

from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from ledger.clock import parse_rfc3339
from projections.why.question import CODES, Why
from tests.oracles import why as why_oracle
from tests.simulation import invariants as laws
from tests.simulation.simulation import Simulation
from tests.support.scenario import why_of

STEPS = 250
QUERIES_PER_JOB = 12


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_every_answer_equals_the_recomputation_from_raw_events(tmp_path: Path, seed: int) -> None:
    simulation, random = Simulation(tmp_path, seed), Random(seed)
    for _ in range(STEPS):
        simulation.step()
    why = why_of(simulation.ledger)

    codes_met: set[str] = set()
    for job_id, events in laws.histories(simulation.ledger).items():
        for place in random.choices(range(len(events)), k=QUERIES_PER_JOB):
            codes_met.add(
                check(why, UUID(job_id), events, place, f"seed {seed}, {job_id} at {place}")
            )

    assert codes_met <= set(CODES)
    assert len(codes_met) >= 8, codes_met
    simulation.close()


def check(why: Why, job_id: UUID, events: list[why_oracle.Event], place: int, where: str) -> str:
    """Compare the answer after one event; its code."""
    position, at = events[place]["position"], events[place]["recorded_at"]
    answer = why.answer(job_id, position=position, at=parse_rfc3339(at))

    codes, links = why_oracle.expected(events[: place + 1])
    found = [link["position"] for link in answer["chain"]]
    assert answer["answer"] in codes, where
    assert set(links) <= set(found), where
    if answer["answer"] in ("deleted", "disabled", "paused", "exhausted", "tripped") and links:
        missed = why_oracle.missed_later(events[place + 1 :], at)
        assert found == sorted({*links, *missed}), where
    assert answer["next_run_at"] == why_oracle.planned(events[: place + 1]), where
    return str(answer["answer"])

"""States replayed from few events, compared with complete replays, over seeded histories."""

from __future__ import annotations

from uuid import UUID

import pytest

from ledger.application.snapshots import dump_job
from projections.history import history as history_module
from projections.history.history import History, visible_state
from projections.history.partial_replay import UNKNOWN_FIELDS, partial_state
from tests.simulation import invariants as laws
from tests.simulation.simulation import Simulation

STEPS = 250


@pytest.fixture(scope="module", params=[51, 52])
def simulation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Simulation:
    simulation = Simulation(tmp_path_factory.mktemp("simulation"), request.param)
    for _ in range(STEPS):
        simulation.step()
    return simulation


def test_a_partial_state_equals_the_complete_one(simulation: Simulation) -> None:
    folded, history = 0, History(simulation.ledger.events)
    for job_id, events in laws.histories(simulation.ledger).items():
        for version in range(1, len(events) + 1):
            partial = partial_state(simulation.ledger.events, UUID(job_id), version)
            if partial is None:
                continue
            folded += 1
            complete = history._complete_state(UUID(job_id), version)
            for name in UNKNOWN_FIELDS:
                setattr(partial, name, getattr(complete, name))
            assert dump_job(partial) == dump_job(complete), f"{job_id} at {version}"
            assert partial.version == complete.version
    assert folded > 20


def test_a_history_is_the_same_from_partial_and_complete_states(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "STATE_EVERY", 7)
    for job_id, events in laws.histories(simulation.ledger).items():
        history = History(simulation.ledger.events)
        for first in range(len(events) - 1, -1, -5):
            page, _ = history.page(UUID(job_id), cursor=first, limit=5, is_descending=False)
            for event in page:
                before = simulation.ledger.fold(UUID(job_id), upto=event["version"] - 1)
                after = simulation.ledger.fold(UUID(job_id), upto=event["version"])
                if event["version"] > 1:
                    assert event["before"] == visible_state(before), (job_id, event["version"])
                assert event["after"] == visible_state(after), (job_id, event["version"])

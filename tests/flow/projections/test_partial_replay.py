"""States folded from few events, against whole folds, all over seeded histories."""

from __future__ import annotations

from uuid import UUID

import pytest

from ledger.application.snapshots import dump_job
from projections.history import history as history_module
from projections.history.history import History, visible_state
from projections.history.partial_replay import UNKNOWN_FIELDS, partial_state
from tests.simulation import laws
from tests.simulation.world import World

STEPS = 250


@pytest.fixture(scope="module", params=[51, 52])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("world"), request.param)
    for _ in range(STEPS):
        world.step()
    return world


def test_what_few_events_tell_is_what_all_of_them_tell(world: World) -> None:
    folded, history = 0, History(world.ledger.events)
    for job_id, events in laws.histories(world.ledger).items():
        for version in range(1, len(events) + 1):
            short = partial_state(world.ledger.events, UUID(job_id), version)
            if short is None:
                continue
            folded += 1
            whole = history._complete_state(UUID(job_id), version)
            for name in UNKNOWN_FIELDS:
                setattr(short, name, getattr(whole, name))
            assert dump_job(short) == dump_job(whole), f"{job_id} at {version}"
            assert short.version == whole.version
    assert folded > 20


def test_a_history_is_the_same_whichever_way_it_was_folded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "STATE_EVERY", 7)
    for job_id, events in laws.histories(world.ledger).items():
        history = History(world.ledger.events)
        for first in range(len(events) - 1, -1, -5):
            page = history.page(UUID(job_id), cursor=first, limit=5, is_descending=False)
            for told in page.events:
                before = world.ledger.fold(UUID(job_id), upto=told["version"] - 1)
                after = world.ledger.fold(UUID(job_id), upto=told["version"])
                if told["version"] > 1:
                    assert told["before"] == visible_state(before), (job_id, told["version"])
                assert told["after"] == visible_state(after), (job_id, told["version"])

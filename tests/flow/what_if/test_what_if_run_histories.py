"""What-if over random histories in any order, compared with the slow recomputation."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ledger.clock import parse_rfc3339
from projections.read_models import ReadModels
from projections.what_if.policy_change import PolicyChange
from projections.what_if.question import WhatIfQuery, what_if
from tests.oracles.what_if import as_it_would_have_been, as_recorded
from tests.support.builders import open_ledger
from tests.support.lives import WILD, Life

STEPS = 60
POLICIES: tuple[dict[str, Any], ...] = (
    {"trip_after": 1},
    {"trip_after": 3},
    {"trip_after": 50, "backoff_seconds": [5, 10]},
    {"counts": ["unauthorized"], "trip_after": 2},
    {"counts": []},
    {"max_losses": 1},
    {"max_losses": 2, "trip_after": 4},
    {"max_losses": 100},
)
WISHES = (
    *(PolicyChange(policy) for policy in POLICIES),
    PolicyChange(not_counts=("rate_limited",)),
    PolicyChange(not_counts=("server_error",)),
    PolicyChange({"trip_after": 1}, ("unauthorized",)),
    PolicyChange({"counts": ["unauthorized", "rate_limited"]}, ("rate_limited", "timeout")),
)


@pytest.mark.parametrize("seed", range(25))
def test_every_policy_equals_the_recomputation_from_raw_events(tmp_path: Path, seed: int) -> None:
    with open_ledger(tmp_path) as ledger:
        life = Life(ledger, seed, WILD)
        life.live(STEPS)
        read_models = ReadModels.open(ledger, tmp_path / "copies.db")
        read_models.catch_up()
        history = ledger.history(life.ids[0])
        end = ledger.writer.position
        for change in WISHES:
            answer = what_if(ledger.events, read_models, WhatIfQuery(change, 0, end))
            recorded = as_recorded(history)
            at = parse_rfc3339(history[-1]["recorded_at"])
            other = as_it_would_have_been(
                history, change.policy, [], at, not_counting=change.not_counts
            )
            assert answer.recorded == asdict(recorded), (seed, change)
            assert answer.other == asdict(other), (seed, change)
        read_models.close()

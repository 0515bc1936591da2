"""What-if over random histories in any order, compared with the slow recomputation."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.application.commands import runs as run_commands
from ledger.clock import parse_rfc3339
from ledger.domain.job import outcomes
from projections.read_models import ReadModels
from projections.what_if.policy_change import PolicyChange
from projections.what_if.question import WhatIfQuery, what_if
from tests.oracles.what_if import as_it_would_have_been, as_recorded
from tests.support.builders import SUCCESS, ManualClock, a_spec, open_ledger

QUOTA = outcomes.Failure("429", "rate_limited", "api.example.com", None, 5)
LOGIN = outcomes.Failure("401", "unauthorized", "api.example.com", None, 5)
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
COUNTED = (["rate_limited"], ["unauthorized"], ["rate_limited", "unauthorized"])


class RandomJob:
    """A job with a random history."""

    def __init__(self, ledger: Ledger, clock: ManualClock, chance: Random) -> None:
        self.ledger, self.clock, self.chance = ledger, clock, chance
        policy = {
            "trip_after": chance.choice([2, 4]),
            "max_losses": chance.choice([2, 3]),
            "counts": chance.choice(COUNTED),
        }
        self.job_id: UUID = ledger.schedule(a_spec(name="wild", policy=policy)).job_id

    def live(self) -> None:
        for _ in range(STEPS):
            status = self.ledger.job_cache.jobs[self.job_id].status
            acts = {"active": self.act, "paused": self.wake, "failed": self.force}
            acts[status]()

    def act(self) -> None:
        dice = self.chance.random()
        if dice < 0.85:
            self.run()
        elif dice < 0.93:
            self.ledger.pause(self.job_id)
        else:
            policy = {
                "trip_after": self.chance.choice([2, 3, 5]),
                "counts": self.chance.choice(COUNTED),
            }
            self.ledger.amend(self.job_id, {"policy": policy})

    def wake(self) -> None:
        self.clock.advance(timedelta(minutes=self.chance.randrange(1, 90)))
        self.ledger.resume(self.job_id)

    def force(self) -> None:
        self.clock.advance(timedelta(minutes=self.chance.randrange(1, 90)))
        self.ledger.resume(self.job_id, force=True)

    def run(self) -> None:
        due = self.ledger.job_cache.jobs[self.job_id].next_run_at
        assert due is not None
        self.clock.at = max(self.clock.at, due)
        call = self.ledger.context()
        claimed = self.ledger.execute(
            run_commands.ClaimRun(self.job_id, call, node="n", is_late=False)
        )
        assert claimed is not None
        self.end(claimed.run.run_id)

    def end(self, run_id: str) -> None:
        self.clock.advance(timedelta(seconds=self.chance.randrange(1, 30)))
        call = self.ledger.context()
        dice = self.chance.random()
        if dice < 0.2:
            cause = self.chance.choice(["lease_expired", "owner_restarted"])
            self.ledger.execute(run_commands.LoseRun(self.job_id, run_id, cause, call))
            return
        some: list[run_commands.Outcome] = [QUOTA, QUOTA, LOGIN, SUCCESS]
        outcome = self.chance.choice(some)
        self.ledger.execute(run_commands.RecordOutcome(self.job_id, run_id, outcome, call))


@pytest.mark.parametrize("seed", range(25))
def test_every_policy_equals_the_recomputation_from_raw_events(tmp_path: Path, seed: int) -> None:
    clock, chance = ManualClock(), Random(seed)
    with open_ledger(tmp_path, clock) as ledger:
        wild = RandomJob(ledger, clock, chance)
        wild.live()
        read_models = ReadModels.open(ledger, tmp_path / "copies.db")
        read_models.catch_up()
        history = ledger.history(wild.job_id)
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

"""Storms on both databases: the same rows from the same events, whatever the pages, and again after
a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.application.commands import runs as run_commands
from ledger.domain.job import outcomes
from projections.engine import runner
from projections.engine.runner import Runner
from projections.models.jobs import model as jobs
from projections.models.storms import model as storms
from projections.stores.sqlite import SQLiteReadModelStore
from projections.stores.store import ReadModelStore
from tests.support.builders import SUCCESS, ManualClock, a_spec, open_ledger

JOBS = 9
ROUNDS = 40
FAILURES = (
    outcomes.Failure("429 Too Many Requests", "rate_limited", "api.example.com", None, 7),
    outcomes.Failure("timed out", "timeout", "db.example.com", None, 7),
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with a history of storms: real jobs that fail, trip and are resumed."""
    with open_ledger(tmp_path) as opened:
        random, clock = Random(7), opened.clock
        assert isinstance(clock, ManualClock)
        made = [
            opened.schedule(a_spec(name=f"job {number}", policy=policy(1 + number % 5)))
            for number in range(JOBS)
        ]
        for number in range(ROUNDS):
            for job in made:
                clock.advance(timedelta(seconds=random.choice([1, 5, 20])))
                run(opened, job.job_id, random, is_stormy=number % 4 < 2)
            clock.advance(timedelta(minutes=random.choice([1, 20, 80])))
        yield opened


def policy(trip_after: int) -> dict[str, object]:
    return {"trip_after": trip_after, "backoff_seconds": [1]}


def run(ledger: Ledger, job_id: UUID, random: Random, *, is_stormy: bool) -> None:
    """One run of a job, if it is due; a tripped one is resumed now and then."""
    if ledger.job(job_id)["status"] == "failed":
        if random.random() < 0.5:
            ledger.resume(job_id, force=True)
        return
    claim = run_commands.ClaimRun(job_id, ledger.context(), node="node-1", is_late=False)
    claimed = ledger.execute(claim)
    if claimed is None:
        return
    is_failure = is_stormy and random.random() < 0.8
    outcome = random.choice(FAILURES) if is_failure else SUCCESS
    ledger.execute(
        run_commands.RecordOutcome(job_id, claimed.run.run_id, outcome, ledger.context())
    )


def grown(ledger: Ledger, store: ReadModelStore) -> Runner:
    kept = Runner(ledger.events, store, (jobs, storms))
    while kept.run_once():
        pass
    return kept


def expected(ledger: Ledger, tmp_path: Path) -> str:
    """The digest of tables that grew event by event on SQLite."""
    other = SQLiteReadModelStore(tmp_path / "expected.db")
    [_, place] = grown(ledger, other).running
    digest = other.digest(place.model, place.generation)
    other.close()
    return digest


@pytest.mark.parametrize("page", [1, 2, 7, 50, 2000])
def test_pages_and_databases_make_no_difference(
    ledger: Ledger,
    store: ReadModelStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
) -> None:
    monkeypatch.setattr(runner, "PAGE", 13)
    wanted = expected(ledger, tmp_path)
    monkeypatch.setattr(runner, "PAGE", page)

    kept = grown(ledger, store)
    [_, place] = kept.running
    assert place.problem is None
    before, after = kept.rebuild(storms, lambda *_: None)

    assert before == after == wanted

"""Read models on each database: the same rows from the same events, the same answers to the same
queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger import Ledger
from ledger.errors import Unavailable
from projections.engine.runner import Runner
from projections.models import MODELS, runs
from projections.models.jobs import queries as job_questions
from projections.models.jobs.queries import JobFilter
from projections.stores.postgres import PostgresReadModelStore
from projections.stores.sqlite import SQLiteReadModelStore
from projections.stores.store import ReadModelStore
from tests.contract.stores import PostgresStoreHarness
from tests.support.builders import a_spec, open_ledger


@dataclass
class Lives:
    """A ledger with some history, and stores of either kind for its read models."""

    ledger: Ledger
    sqlite: ReadModelStore
    postgres: PostgresReadModelStore

    def filled(self, store: ReadModelStore) -> Runner:
        runner = Runner(self.ledger.events, store, MODELS)
        while runner.run_once():
            pass
        return runner


@pytest.fixture
def lives(tmp_path: Path, postgres_harness: PostgresStoreHarness) -> Iterator[Lives]:
    with ExitStack() as closing:
        ledger = closing.enter_context(open_ledger(tmp_path / "data"))
        names = ["Daily Report", "straße", "STRASSE 2", "100%", "a_b", "axb", "ärger"]
        ids = [ledger.schedule(a_spec(name=name, tags=[name, "all"])).job_id for name in names]
        ledger.pause(ids[0], reason="why not")
        ledger.amend(ids[1], {"enabled": False, "name": "Straße"})
        ledger.delete(ids[2])
        sqlite = SQLiteReadModelStore(tmp_path / "projections.db")
        closing.callback(sqlite.close)
        postgres = PostgresReadModelStore(postgres_harness.address)
        closing.callback(postgres.close)
        assert postgres.leader_lock.is_held()
        yield Lives(ledger, sqlite, postgres)


def test_both_databases_have_the_same_rows(lives: Lives) -> None:
    one, other = lives.filled(lives.sqlite), lives.filled(lives.postgres)

    digests = [lives.sqlite.digest(place.model, place.generation) for place in one.running]

    assert digests == [lives.postgres.digest(p.model, p.generation) for p in other.running]
    assert one.statuses() == other.statuses()


@pytest.mark.parametrize(
    "asked",
    [
        JobFilter(),
        JobFilter(limit=2),
        JobFilter(limit=2, is_newest_first=True, cursor="9"),
        JobFilter(status="paused"),
        JobFilter(tag="all"),
        JobFilter(tag="100%"),
        JobFilter(q="DAILY"),
        JobFilter(q="STRASSE"),
        JobFilter(q="%"),
        JobFilter(q="_"),
        JobFilter(q="Ä"),
        JobFilter(failure_class="timeout"),
    ],
    ids=repr,
)
def test_both_databases_answer_the_same(lives: Lives, asked: JobFilter) -> None:
    answers: list[Any] = []
    for store in (lives.sqlite, lives.postgres):
        lives.filled(store)
        with store.reading() as questions:
            answers.append((job_questions.find(questions, asked), job_questions.summary(questions)))

    assert answers[0] == answers[1]


def test_a_search_finds_names_whatever_their_case_in_any_alphabet(lives: Lives) -> None:
    lives.filled(lives.postgres)
    with lives.postgres.reading() as questions:
        jobs, _ = job_questions.find(questions, JobFilter(q="STRASSE"))

    assert [job["name"] for job in jobs] == ["Straße"]


def test_a_rebuild_swaps_equal_tables_in_and_drops_the_old_ones(lives: Lives) -> None:
    runner = lives.filled(lives.postgres)

    progress: list[tuple[int, int]] = []

    before, after = runner.rebuild(runs, lambda *how_far: progress.append(how_far))

    assert before == after
    assert progress[-1][0] == progress[-1][1] == runner.running[0].position
    standing = lives.postgres.stored_model(runs)
    assert standing is not None
    assert standing.generation == 2
    assert lives.postgres.stored_models()["runs"] == standing


def test_only_the_leader_writes_read_models(
    lives: Lives, postgres_harness: PostgresStoreHarness
) -> None:
    other = PostgresReadModelStore(postgres_harness.address)
    try:
        assert not other.leader_lock.is_held()
        with pytest.raises(Unavailable, match="Another node"), other.transaction():
            pass
    finally:
        other.close()

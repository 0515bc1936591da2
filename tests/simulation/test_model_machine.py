"""T1: for any commands in any order, the ledger answers and behaves as the plain model: in memory,
on SQLite, and over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger.application.snapshots import dump_job
from ledger.clock import rfc3339
from ledger.domain.job.job import Job
from ledger.domain.job.view import view
from tests.simulation.fleet_model import (
    KEYED,
    OPERATIONS,
    OUTCOMES,
    REPEATED,
    SAME_NAME,
    Fleet,
    JobModel,
    Order,
)
from tests.simulation.ledger_drivers import HttpDriver, NodesDriver, SQLiteDriver
from tests.simulation.memory_driver import MemoryDriver
from tests.simulation.model import CHANGED, Model
from tests.simulation.orders import Driver, Reply
from tests.support.builders import MINUTE

SEED = 20260302
STEP = timedelta(hours=2)
"""Longer than every interval and backoff: what may be due is due at the next order."""
MOST_JOBS = 4
STEPS = 50
DRIVERS: dict[str, Callable[[Path], Driver]] = {
    "memory": MemoryDriver,
    "sqlite": SQLiteDriver,
    "http": HttpDriver,
}

names = st.sampled_from(sorted(SAME_NAME))
keys = st.sampled_from([None, None, None, "one", "two"])
numbers = st.integers(0, 9)
revisions = st.sampled_from(["any"] * 6 + ["seen", "older", "newer"])
AHEAD = {"seen": 0, "older": -1, "newer": 1}


class LedgerMachine(RuleBasedStateMachine):
    """One ledger and its model, given the same orders."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver
        self.fleet = Fleet()
        self.keyed: list[Order] = []
        self.first: dict[tuple[Any, ...], Reply] = {}
        self.orders = 0

    def teardown(self) -> None:
        self.driver.close()

    # -- what is asked --------------------------------------------------------------------------

    @initialize(name=names, kind=st.sampled_from(["every", "at", "cron"]))
    def begin(self, name: str, kind: str) -> None:
        self.schedule(name, kind, 1, None)

    @precondition(lambda self: len(self.fleet.jobs) <= MOST_JOBS)
    @rule(
        name=names,
        kind=st.sampled_from(["every", "at", "cron"]),
        trip_after=st.sampled_from([1, 1, 2, 3]),
        key=keys,
    )
    def schedule(self, name: str, kind: str, trip_after: int, key: str | None) -> None:
        at = rfc3339(self.driver.clock.now() + STEP + MINUTE)
        fields = {"name": name, "kind": kind, "trip_after": trip_after, "at": at}
        self.give(Order("schedule", fields=tuple(fields.items()), key=key))

    @rule(what=st.sampled_from(OPERATIONS), number=numbers, key=keys, revision=revisions)
    def operate(self, what: str, number: int, key: str | None, revision: str) -> None:
        job = self.pick(number)
        words = (("description", f"order {self.orders}"),) if what == "amend" else ()
        is_keyed = what in KEYED
        self.give(Order(what, job, words, key if is_keyed else None, self.revision(job, revision)))

    @rule(name=names, number=numbers, revision=revisions)
    def rename(self, name: str, number: int, revision: str) -> None:
        job = self.pick(number)
        self.give(Order("rename", job, (("name", name),), None, self.revision(job, revision)))

    @rule(what=st.sampled_from(["pause", "force", "resume"]), number=numbers)
    def intervene(self, what: str, number: int) -> None:
        self.give(Order(what, self.pick(number)))

    @rule(number=numbers, and_then=st.sampled_from([None, None, "fire", *OUTCOMES]))
    def fire(self, number: int, and_then: str | None) -> None:
        job = self.pick(number)
        self.give(Order("fire", job))
        if and_then is not None:
            self.give(Order(and_then, job))

    @rule(what=st.sampled_from(OUTCOMES), number=numbers)
    def report(self, what: str, number: int) -> None:
        self.give(Order(what, self.pick(number)))

    @precondition(lambda self: self.keyed)
    @rule(number=numbers)
    def ask_again(self, number: int) -> None:
        self.give(self.keyed[number % len(self.keyed)])

    @rule()
    def restart(self) -> None:
        self.driver.restart()

    def pick(self, number: int) -> int:
        """One of the jobs; for 0 the one that was never scheduled."""
        return 1 + (number - 1) % (len(self.fleet.jobs) - 1) if number else 0

    def revision(self, job: int, wanted: str) -> int | None:
        ahead = AHEAD.get(wanted)
        return None if ahead is None else max(0, self.fleet.jobs[job].revision + ahead)

    # -- what must be answered ------------------------------------------------------------------

    def give(self, order: Order) -> None:
        """Give one order to both, and compare the answers."""
        self.orders += 1
        self.driver.clock.advance(STEP)
        before = self.driver.position()
        expected = self.fleet.answer(order)

        reply = self.driver.give(order)

        assert reply.answer == (CHANGED if expected == REPEATED else expected), order
        has_grown = self.driver.position() > before
        assert has_grown == (expected == CHANGED), f"{order}: {expected}, but events were appended"
        if expected == CHANGED and order.what in OUTCOMES:
            self.count_what_was_passed_over(order.job)
        self.remember(order, expected, reply)

    def count_what_was_passed_over(self, number: int) -> None:
        """Slots of several causes take an event each, before that of the end; the model has no
        time, and is given how many there were.
        """
        model, job = self.fleet.jobs[number], self.driver.fold(self.driver.ids[number])
        more = job.version - model.version
        assert 0 <= more <= (0 if model.state.is_one_shot else 2)
        is_revised = model.revision == model.version
        revision = model.revision + more if is_revised else model.revision
        self.fleet.jobs[number] = replace(model, version=job.version, revision=revision)

    def remember(self, order: Order, expected: str, reply: Reply) -> None:
        """A repeated key must get the first answer."""
        if expected == REPEATED:
            assert reply.body == self.first[order.address].body, order
        if expected != CHANGED:
            return
        if order.what == "schedule":
            assert reply.job_id is not None
            self.driver.ids.append(reply.job_id)
        if order.key is not None:
            self.first[order.address] = reply
            self.keyed.append(order)

    # -- what must be held ----------------------------------------------------------------------

    @invariant()
    def every_job_is_what_the_model_says(self) -> None:
        assert len(self.driver.ids) == len(self.fleet.jobs)
        for job_id, model in list(zip(self.driver.ids, self.fleet.jobs, strict=True))[1:]:
            job, head = self.driver.fold(job_id), self.driver.head(job_id)
            assert seen(job, model.trip_after) == model
            if head is not None:
                assert dump_job(head) == dump_job(job), "the head is not the fold"
            is_gone = model.state.status == "deleted"
            assert head is not None or (is_gone and not model.state.is_running)
            assert self.driver.shown(job_id) == (None if is_gone else view(job))

    @invariant()
    def there_are_as_many_jobs_as_the_model_has(self) -> None:
        assert self.driver.count() == len(self.fleet.live)


def seen(job: Job, trip_after: int) -> JobModel:
    """A job as the model would describe it."""
    flags = Model(
        is_one_shot=job.is_one_shot,
        status=job.status,
        is_due=job.next_run_at is not None,
        is_running=job.open_run is not None,
        is_requested=job.is_run_requested,
    )
    streaks = (job.consecutive_errors, job.consecutive_losses)
    return JobModel(flags, job.name, trip_after, job.version, job.revision, *streaks)


def live(driver: Callable[[Path], Driver], folder: Path, *, examples: int) -> None:
    """Many histories of a ledger, each in a folder of its own."""
    numbers = count()

    def born() -> LedgerMachine:
        home = folder / f"life-{next(numbers)}"
        home.mkdir()
        return LedgerMachine(driver(home))

    if settings().derandomize:
        print(f"seed {SEED}, {examples} lives of {STEPS} steps")
        seed(SEED)(born)
    run_state_machine_as_test(
        born,  # type: ignore[arg-type]  # hypothesis accepts a factory
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(("kind", "examples"), [("memory", 40), ("sqlite", 12), ("http", 5)])
def test_a_ledger_behaves_like_the_model(tmp_path: Path, kind: str, examples: int) -> None:
    live(DRIVERS[kind], tmp_path, examples=examples)


def test_two_nodes_behave_like_the_model_of_one_ledger(tmp_path: Path, postgres_dsn: str) -> None:
    live(lambda _: NodesDriver(postgres_dsn), tmp_path, examples=5)


@pytest.mark.proof
def test_two_nodes_behave_like_the_model_over_long_histories(
    tmp_path: Path, postgres_dsn: str
) -> None:
    live(lambda _: NodesDriver(postgres_dsn), tmp_path, examples=40)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "examples"), [("memory", 800), ("sqlite", 160), ("http", 40)])
def test_a_ledger_behaves_like_the_model_over_long_histories(
    tmp_path: Path, kind: str, examples: int
) -> None:
    live(DRIVERS[kind], tmp_path, examples=examples)

"""The leases of runs that are executed elsewhere, when the reaper, reports and the clock interleave
badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger import Dispatcher
from ledger.application.command_context import CommandContext
from ledger.application.commands import runs as run_commands
from ledger.dispatch.executors.registry import ExecutorSettings
from ledger.dispatch.leases import reaper as sweep
from ledger.dispatch.leases.leases import GRACE, Leases
from ledger.domain.event_context import Actor
from ledger.domain.job.runs import Claim
from ledger.domain.job.state import OpenRun
from tests.support.builders import HOUR, MINUTE, SUCCESS, ManualClock, a_spec, open_ledger

GPU = {"kind": "worker", "queue": "gpu"}
SECOND = timedelta(seconds=1)
SWEEPERS = 8
MANY = 1000


class LeaseScenario:
    """A ledger whose runs workers take, and a dispatcher that is driven step by step."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.ledger = open_ledger(folder, self.clock)
        self.dispatcher = self.a_dispatcher()

    def a_dispatcher(self) -> Dispatcher:
        return Dispatcher(self.ledger, ExecutorSettings.of_this_process())

    def call(self) -> CommandContext:
        now = self.clock.now()
        return self.ledger.context(actor=Actor("wendy", "worker"), source="http", now=now)

    def step(self, later: timedelta = timedelta()) -> None:
        self.clock.advance(later)
        while self.dispatcher.run_once():
            pass

    def due(self, name: str = "render", **fields: Any) -> UUID:
        return self.ledger.schedule(a_spec(name=name, executor=GPU, **fields)).job_id

    def take(self, job_id: UUID, *, lease_seconds: float = 10) -> OpenRun:
        """The run of a due job, claimed by a worker."""
        claim = Claim(self.dispatcher.node, lease_seconds=lease_seconds)
        assert self.ledger.execute(run_commands.HandOutRun(job_id, "gpu", claim, self.call()))
        [run] = [run for job, run in self.ledger.job_cache.runs.open_runs() if job == job_id]
        return run

    def heartbeat(self, job_id: UUID, run: OpenRun, seconds: float = 10) -> datetime:
        return self.ledger.execute(
            run_commands.ExtendLease(job_id, run.run_id, seconds, self.call())
        )

    def topics(self, job_id: UUID) -> list[str]:
        return [str(event["topic"]) for event in self.ledger.history(job_id)]

    def last(self, job_id: UUID) -> dict[str, Any]:
        return dict(self.ledger.history(job_id)[-1])


@pytest.fixture
def scenario(tmp_path: Path) -> Any:
    scenario = LeaseScenario(tmp_path)
    yield scenario
    scenario.ledger.close()


def taken(scenario: LeaseScenario, **fields: Any) -> tuple[UUID, OpenRun]:
    """A job whose run a worker has just claimed, with a lease of 10 s."""
    job_id = scenario.due(**fields)
    scenario.step(MINUTE)
    return job_id, scenario.take(job_id)


def taken_by_many(scenario: LeaseScenario, count: int) -> list[UUID]:
    jobs = [scenario.due(f"render {number}") for number in range(count)]
    scenario.step(MINUTE)
    for job_id in jobs:
        scenario.take(job_id)
    return jobs


def test_a_heartbeat_between_the_reapers_check_and_its_command_saves_the_run(
    scenario: LeaseScenario,
) -> None:
    job_id, run = taken(scenario)
    scenario.clock.advance(10 * SECOND)
    leases = Leases(scenario.dispatcher.nodes, scenario.ledger.job_cache, lambda _: False)
    [given_up] = leases.abandoned(scenario.clock.now())

    until = scenario.heartbeat(job_id, run)
    lose = run_commands.LoseRun(job_id, run.run_id, given_up.cause, scenario.call())
    was_lost = scenario.ledger.execute(lose)

    assert not was_lost, f"the worker was given a lease until {until}"
    assert scenario.topics(job_id)[-1] == "job.run_started"


def test_a_run_taken_over_and_reported_at_once_leaves_no_lease_behind(
    scenario: LeaseScenario,
) -> None:
    job_id = scenario.ledger.schedule(a_spec()).job_id
    scenario.clock.advance(MINUTE)
    call, node = scenario.call(), scenario.dispatcher.node
    claimed = scenario.ledger.execute(run_commands.ClaimRun(job_id, call, node=node, is_late=False))
    assert claimed is not None
    run_id = claimed.run.run_id

    both: Sequence[Any] = [
        run_commands.DeferRun(job_id, run_id, call),
        run_commands.RecordOutcome(job_id, run_id, SUCCESS, call),
    ]
    scenario.ledger.submit(both).result()

    assert scenario.topics(job_id)[-1] == "job.run_succeeded"
    assert scenario.ledger.job_cache.runs.leases == {}
    assert scenario.ledger.event_store.leases().rows == ()


def test_a_clock_that_was_set_back_does_not_delay_the_reaper(scenario: LeaseScenario) -> None:
    scenario.step(HOUR)
    scenario.step(-HOUR)
    job_id, _ = taken(scenario)

    scenario.step(20 * SECOND)

    assert scenario.topics(job_id)[-1] == "job.run_lost"


def test_a_run_whose_lease_expired_before_its_time_out_is_lost_however_late_that_is_noticed(
    scenario: LeaseScenario,
) -> None:
    job_id, _ = taken(scenario, policy={"timeout_seconds": 30})

    scenario.step(HOUR)

    assert scenario.last(job_id)["topic"] == "job.run_lost"
    assert scenario.last(job_id)["data"]["cause"] == "lease_expired"


def test_a_run_of_an_uncached_job_is_still_recorded_as_lost(scenario: LeaseScenario) -> None:
    job_id, _ = taken(scenario)
    scenario.ledger.job_cache.forget(job_id)

    scenario.step(20 * SECOND)

    assert scenario.topics(job_id)[-1] == "job.run_lost"


def test_a_due_run_of_an_uncached_job_still_gets_into_its_queue(scenario: LeaseScenario) -> None:
    job_id = scenario.due()
    scenario.ledger.job_cache.forget(job_id)

    scenario.step(MINUTE)

    due = scenario.dispatcher.queues.take("gpu")
    assert due is not None
    assert due.item.job_id == job_id


def test_a_due_run_is_in_its_queue_once_however_often_its_job_is_changed(
    scenario: LeaseScenario,
) -> None:
    job_id = scenario.due()
    scenario.step(MINUTE)

    for number in range(20):
        scenario.ledger.amend(job_id, {"description": f"number {number}"})
        scenario.step()

    assert len(scenario.dispatcher.queues) == 1


def until_all_is_done(sweeper: Dispatcher) -> int:
    """How many items the dispatcher handled."""
    total = 0
    while count := sweeper.run_once():
        total += count
    return total


@pytest.mark.slow
def test_an_expired_lease_gives_one_loss_whichever_node_reaps_it(scenario: LeaseScenario) -> None:
    """X5."""
    jobs = taken_by_many(scenario, MANY)
    sweepers = [scenario.dispatcher, *(scenario.a_dispatcher() for _ in range(SWEEPERS - 1))]
    scenario.clock.advance(20 * SECOND)

    with ThreadPoolExecutor(SWEEPERS) as pool:
        swept = list(pool.map(until_all_is_done, sweepers))

    assert sum(swept) >= MANY
    assert [scenario.topics(job_id).count("job.run_lost") for job_id in jobs] == [1] * MANY
    assert scenario.ledger.event_store.leases().rows == ()


def test_one_cycle_ends_no_more_runs_than_one_append_takes(
    scenario: LeaseScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MAX_LOSSES", 3)
    taken_by_many(scenario, 7)
    scenario.clock.advance(20 * SECOND)

    swept = [scenario.dispatcher.run_once() for _ in range(4)]

    assert swept == [3, 3, 1, 0]


def test_a_run_whose_lease_expired_while_the_ledger_was_down_may_still_be_reported(
    scenario: LeaseScenario,
) -> None:
    job_id, run = taken(scenario)
    scenario.dispatcher = scenario.a_dispatcher()  # the next process of the same ledger
    scenario.clock.advance(HOUR)

    scenario.step()
    assert scenario.topics(job_id)[-1] == "job.run_started"
    report = run_commands.RecordOutcome(job_id, run.run_id, SUCCESS, scenario.call())
    scenario.ledger.execute(report)

    assert scenario.topics(job_id)[-1] == "job.run_succeeded"


def test_after_a_start_runs_are_left_alone_only_for_the_grace_period(
    scenario: LeaseScenario,
) -> None:
    job_id, _ = taken(scenario)
    scenario.dispatcher = scenario.a_dispatcher()
    scenario.clock.advance(HOUR)
    scenario.step()

    scenario.step(GRACE - SECOND)
    assert scenario.topics(job_id)[-1] == "job.run_started"
    scenario.step(SECOND)

    assert scenario.last(job_id)["data"]["cause"] == "lease_expired"

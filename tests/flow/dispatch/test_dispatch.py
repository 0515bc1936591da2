"""The dispatcher on a manual clock: what is due starts once, bounded, in order, and ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest import raises

from ledger import Ledger
from ledger.application.commands.runs import Claimed
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.executors.outcomes import Blocked, Deferred, Outcome
from ledger.dispatch.executors.pool import Finished
from ledger.domain.job.outcomes import Failure, Success
from ledger.errors import LedgerError
from ledger.store.sqlite.store import SQLiteEventStore
from tests.simulation import invariants as laws
from tests.support.builders import EVERY_MINUTE, MINUTE, NOON, ManualClock, a_spec, open_ledger
from tests.support.fake_pool import FakePool

SECOND = timedelta(seconds=1)
DONE = Success("done", 4, "0" * 64, 1)
FAILURE = Failure("x", "other", None, None, 1)


class ManualPool(FakePool):
    """A run pool where runs end when the test says so; noop runs end at once and take no slot."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.launched: list[Claimed] = []
        self._ledger = ledger

    def is_instant(self, executor: dict[str, Any] | None) -> bool:
        return executor is not None and executor["kind"] == "noop"

    def launch(self, claimed: Claimed) -> None:
        started = self._ledger.event_store.command_at(claimed.job_id, claimed.run.fence)
        assert started is not None, "X3: executed before its start was durable"
        self.launched.append(claimed)
        super().launch(claimed)
        if self.is_instant(claimed.executor):
            self.end(claimed, DONE)

    def end(self, claimed: Claimed, outcome: Outcome) -> None:
        super().end(claimed, outcome)
        self._ledger.job_cache.due.notify()


class DispatchScenario:
    """A ledger with a dispatcher that takes one step at a time."""

    def __init__(self, folder: Path, *, concurrency: int = 32, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.ledger = open_ledger(folder, self.clock, seed=seed)
        self.pool = ManualPool(self.ledger)
        self.dispatcher = Dispatcher(self.ledger, self.pool, concurrency=concurrency)

    def schedule(self, name: str = "job", *, slow: bool = True, **fields: Any) -> UUID:
        """A job whose runs end when the test says so (or at once, when it is not slow)."""
        executor = {"kind": "python", "handler": "x"} if slow else {"kind": "noop"}
        return self.ledger.schedule(a_spec(name=name, executor=executor, **fields)).job_id

    def schedule_many(self, count: int, name: str = "job", *, slow: bool = True) -> None:
        for number in range(count):
            self.schedule(f"{name} {number}", slow=slow)

    def step(self, later: timedelta = timedelta()) -> list[str]:
        """Some time passes, the dispatcher works; returns the names of the jobs that were
        started.
        """
        self.clock.advance(later)
        before = len(self.pool.launched)
        while self.dispatcher.run_once():
            pass
        return [claimed.name for claimed in self.pool.launched[before:]]

    def end(self, outcome: Outcome = DONE) -> None:
        """The run that was started last ends, and the dispatcher works."""
        self.pool.end(self.pool.launched[-1], outcome)
        self.step()

    def topics(self, job_id: UUID) -> list[str]:
        return [event["topic"] for event in self.ledger.history(job_id)]


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[DispatchScenario]:
    scenario = DispatchScenario(tmp_path, concurrency=3)
    yield scenario
    laws.check_event_store(scenario.ledger)
    for events in laws.histories(scenario.ledger).values():
        laws.check_history(events)
    scenario.ledger.close()


# -- starting -----------------------------------------------------------------------------------


def test_nothing_starts_before_its_time(scenario: DispatchScenario) -> None:
    scenario.schedule()

    assert scenario.step(MINUTE - SECOND) == []
    assert scenario.step(SECOND) == ["job"]


def test_no_more_runs_are_open_than_there_are_slots_and_a_free_one_is_used(
    scenario: DispatchScenario,
) -> None:
    scenario.schedule_many(10)
    assert len(scenario.step(MINUTE)) == 3
    assert scenario.step() == []

    scenario.pool.end(scenario.pool.launched[1], DONE)

    assert len(scenario.step()) == 1
    assert len(scenario.pool.running) == 3


def test_instant_runs_take_no_slot(scenario: DispatchScenario) -> None:
    scenario.schedule_many(4, "slow")
    scenario.schedule_many(20, "quick", slow=False)

    started = scenario.step(MINUTE)

    assert sum(name.startswith("slow") for name in started) == 3
    assert sum(name.startswith("quick") for name in started) == 20


def test_runs_that_wait_for_a_slot_start_in_the_order_of_their_time(
    scenario: DispatchScenario,
) -> None:
    for seconds in (25, 5, 15, 20, 10, 30):
        scenario.schedule(f"{seconds}", schedule={"kind": "every", "interval_seconds": seconds})
    started = scenario.step(30 * SECOND)

    while scenario.pool.running:
        scenario.pool.end(next(iter(scenario.pool.running.values())), FAILURE)
        started += scenario.step()

    assert started == ["5", "10", "15", "20", "25", "30"]


def test_a_requested_run_starts_before_what_is_due(scenario: DispatchScenario) -> None:
    scenario.schedule_many(5)
    asked = scenario.schedule("asked", schedule={"kind": "cron", "expr": "@yearly"})
    scenario.ledger.run(asked)

    assert scenario.step(MINUTE)[0] == "asked"


def test_one_job_never_has_two_runs_open(scenario: DispatchScenario) -> None:
    scenario.schedule(schedule=EVERY_MINUTE)

    started = [name for _ in range(10) for name in scenario.step(MINUTE)]

    assert started == ["job"]


def test_a_job_paused_after_it_became_due_is_not_started(scenario: DispatchScenario) -> None:
    job_id = scenario.schedule()
    scenario.clock.advance(MINUTE)
    scenario.ledger.pause(job_id)

    assert scenario.step() == []


def test_a_pause_ends_by_itself_at_its_instant(scenario: DispatchScenario) -> None:
    job_id = scenario.schedule()
    scenario.ledger.pause(job_id, until=NOON + 10 * MINUTE)

    assert scenario.step(10 * MINUTE) == []
    assert scenario.step(MINUTE) == ["job"]

    resumed = scenario.ledger.history(job_id)[2]
    assert (resumed["topic"], resumed["actor"]["kind"]) == ("job.resumed", "system")


def test_claims_that_failed_on_a_full_disk_are_repeated_when_there_is_room(
    scenario: DispatchScenario,
) -> None:
    job_id = scenario.schedule()
    event_store = scenario.ledger.event_store
    assert isinstance(event_store, SQLiteEventStore)
    count = event_store._writer.execute("PRAGMA page_count").fetchone()[0]
    event_store._writer.execute(f"PRAGMA max_page_count={count}")
    fill_up(scenario.ledger)
    with raises(LedgerError):
        scenario.step(MINUTE)
    assert scenario.pool.launched == []

    event_store._writer.execute(f"PRAGMA max_page_count={count + 1000}")

    assert scenario.step() == ["job"]
    assert scenario.topics(job_id) == ["job.scheduled", "job.run_started"]


def fill_up(ledger: Ledger) -> None:
    try:
        for number in range(10_000):
            ledger.schedule(a_spec(name=f"filler {number}", enabled=False))
    except LedgerError:
        return


# -- late ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "apart"), [(10, 5.0), (120, 5.0), (200, 3.0), (600, 1.0)])
def test_late_slots_are_released_apart(tmp_path: Path, count: int, apart: float) -> None:
    """min(5 s, 600 s / n) apart, so that a start is not a storm."""
    scenario = DispatchScenario(tmp_path, concurrency=10_000)
    scenario.schedule_many(count)
    scenario.clock.advance(timedelta(days=1))

    started = [len(scenario.step())]
    started += [len(scenario.step(timedelta(seconds=apart))) for _ in range(count - 1)]

    assert started == [1] * count
    scenario.ledger.close()


def test_slightly_late_slots_start_at_once(tmp_path: Path) -> None:
    scenario = DispatchScenario(tmp_path, concurrency=100)
    scenario.schedule_many(20)

    assert len(scenario.step(MINUTE + 30 * SECOND)) == 20
    scenario.ledger.close()


def test_late_slots_are_caught_up_once_each(scenario: DispatchScenario) -> None:
    job_id = scenario.schedule(schedule=EVERY_MINUTE)
    scenario.step(60 * MINUTE)

    scenario.end()

    started, ended = scenario.ledger.history(job_id)[1:]
    assert started["data"]["trigger"] == "catch_up"
    assert started["data"]["scheduled_for"] == "2026-03-02T12:01:00Z"
    assert ended["data"]["missed"]["count"] == 59
    assert ended["data"]["next_run_at"] == "2026-03-02T13:01:00Z"


def test_a_job_that_catches_up_none_records_what_it_skipped(scenario: DispatchScenario) -> None:
    job_id = scenario.schedule(schedule=EVERY_MINUTE, policy={"catch_up": "none"})

    assert scenario.step(60 * MINUTE) == []
    assert scenario.topics(job_id) == ["job.scheduled", "job.fires_skipped"]
    assert scenario.step(MINUTE) == ["job"]


# -- ending -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "topic"),
    [
        (DONE, "job.run_succeeded"),
        (FAILURE, "job.run_failed"),
        (Blocked("commands are off"), "job.run_blocked"),
    ],
)
def test_an_outcome_is_recorded_once_by_the_dispatcher(
    scenario: DispatchScenario, outcome: Outcome, topic: str
) -> None:
    job_id = scenario.schedule()
    scenario.step(MINUTE)

    scenario.end(outcome)
    scenario.step()

    last = scenario.ledger.history(job_id)[-1]
    assert scenario.topics(job_id) == ["job.scheduled", "job.run_started", topic]
    assert (last["actor"]["id"], last["source"]) == ("dispatcher", "dispatcher")


def test_a_one_shot_completes_with_its_run(scenario: DispatchScenario) -> None:
    job_id = scenario.schedule(schedule={"kind": "at", "at": "2026-03-02T12:00:30Z"}, slow=False)

    scenario.step(MINUTE)

    assert scenario.ledger.job(job_id)["status"] == "completed"
    assert scenario.ledger.job_cache.due.next_at() is None


def test_an_outcome_that_cannot_be_stored_is_recorded_as_a_failure(
    scenario: DispatchScenario,
) -> None:
    job_id = scenario.schedule()
    scenario.step(MINUTE)

    scenario.end(Success("\ud800", 1, "0" * 64, 1))

    last = scenario.ledger.history(job_id)[-1]
    assert (last["topic"], last["data"]["failure_class"]) == ("job.run_failed", "other")
    assert "could not be recorded" in last["data"]["error"]


def test_a_report_of_a_run_that_is_not_open_any_more_changes_nothing(
    scenario: DispatchScenario,
) -> None:
    job_id = scenario.schedule()
    scenario.step(MINUTE)
    scenario.end()
    scenario.pool.put_back(Finished(scenario.pool.launched[0], DONE))

    scenario.step()

    assert scenario.topics(job_id) == ["job.scheduled", "job.run_started", "job.run_succeeded"]


# -- lost ---------------------------------------------------------------------------------------


def test_runs_of_a_former_owner_are_recorded_as_lost_once(tmp_path: Path) -> None:
    before = DispatchScenario(tmp_path)
    ids = [before.schedule(f"job {number}") for number in range(5)]
    before.step(MINUTE)
    before.ledger.close()
    after = DispatchScenario(tmp_path, seed=1)

    after.step(MINUTE)

    for job_id in ids:
        events = after.ledger.history(job_id)
        causes = [e["data"]["cause"] for e in events if e["topic"] == "job.run_lost"]
        assert causes == ["owner_restarted"]
    assert after.ledger.job(ids[0])["consecutive_losses"] == 0
    after.ledger.close()


def test_a_run_taken_over_by_its_target_is_lost_when_its_lease_ends(
    scenario: DispatchScenario,
) -> None:
    job_id = scenario.schedule(policy={"lease_seconds": 90}, schedule=EVERY_MINUTE)
    scenario.step(MINUTE)
    scenario.end(Deferred())

    assert scenario.step(89 * SECOND) == []
    assert "job.run_lost" not in scenario.topics(job_id)
    scenario.step(SECOND)

    last = scenario.ledger.history(job_id)[-1]
    assert (last["topic"], last["data"]["cause"]) == ("job.run_lost", "lease_expired")


def test_a_run_of_this_node_is_not_lost_however_long_it_takes(scenario: DispatchScenario) -> None:
    job_id = scenario.schedule(policy={"lease_seconds": 1})

    scenario.step(MINUTE)
    scenario.step(timedelta(days=1))

    assert scenario.topics(job_id) == ["job.scheduled", "job.run_started"]


# -- probes -------------------------------------------------------------------------------------


def test_a_breaker_that_probes_closes_by_itself(scenario: DispatchScenario) -> None:
    job_id = scenario.schedule(policy={"trip_after": 1, "probe_after_seconds": 300})
    scenario.step(MINUTE)
    scenario.end(FAILURE)
    assert scenario.step(4 * MINUTE) == []

    assert scenario.step(MINUTE) == ["job"]
    scenario.end()

    assert scenario.ledger.job(job_id)["status"] == "active"
    assert scenario.topics(job_id)[-1] == "job.circuit_closed"


# -- instants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-30 * MINUTE, timedelta(hours=-2), timedelta(days=-400)])
def test_a_clock_that_is_set_back_starts_no_slot_twice(
    scenario: DispatchScenario, jump: timedelta
) -> None:
    job_id = scenario.schedule(schedule=EVERY_MINUTE, slow=False)
    for _ in range(5):
        scenario.step(MINUTE)

    scenario.clock.advance(jump)
    for _ in range(5):
        scenario.step(MINUTE)

    events = scenario.ledger.history(job_id)
    started = [event["data"] for event in events if event["topic"] == "job.run_started"]
    slots = [data["scheduled_for"] for data in started]
    assert len(slots) == len(set(slots))


def test_recorded_instants_are_those_of_the_given_clock(scenario: DispatchScenario) -> None:
    job_id = scenario.schedule()
    scenario.step(MINUTE)

    started = scenario.ledger.history(job_id)[-1]

    assert datetime.fromisoformat(started["timestamp"]) == NOON + MINUTE
    assert scenario.clock.now().tzinfo is UTC

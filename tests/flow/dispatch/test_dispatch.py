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
from ledger.dispatch.executors.outcomes import Blocked, Deferred, Failed, Outcome, Succeeded
from ledger.dispatch.executors.pool import Finished
from ledger.errors import LedgerError
from ledger.store.sqlite.store import SQLiteEventStore
from tests.simulation import laws
from tests.support.builders import EVERY_MINUTE, MINUTE, NOON, ManualClock, a_spec, open_ledger

SECOND = timedelta(seconds=1)
DONE = Succeeded("done", 4, "0" * 64, 1)


class Bench:
    """A run pool where runs end when the test says so; noop runs end at once and take no slot."""

    def __init__(self, ledger: Ledger) -> None:
        self.running: dict[str, Claimed] = {}
        self.launched: list[Claimed] = []
        self._ledger = ledger
        self._done: list[Finished] = []

    def start(self) -> None: ...

    def close(self) -> None: ...

    def is_instant(self, executor: dict[str, Any] | None) -> bool:
        return executor is not None and executor["kind"] == "noop"

    def launch(self, claimed: Claimed) -> None:
        kept = self._ledger.event_store.command_at(claimed.job_id, claimed.run.fence)
        assert kept is not None, "X3: executed before it was in the book"
        self.launched.append(claimed)
        self.running[claimed.run.run_id] = claimed
        if self.is_instant(claimed.executor):
            self.end(claimed, DONE)

    def end(self, claimed: Claimed, outcome: Outcome) -> None:
        """A run ends."""
        self._done.append(Finished(self.running.pop(claimed.run.run_id), outcome))
        self._ledger.job_cache.due.notify()

    def finished(self, limit: int) -> list[Finished]:
        done, self._done = self._done[:limit], self._done[limit:]
        return done

    def put_back(self, finished: Finished) -> None:
        self._done.append(finished)

    @property
    def finished_count(self) -> int:
        return len(self._done)


class Floor:
    """A ledger with a dispatcher that takes one step at a time."""

    def __init__(self, folder: Path, *, concurrency: int = 32, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.ledger = open_ledger(folder, self.clock, seed=seed)
        self.bench = Bench(self.ledger)
        self.dispatcher = Dispatcher(self.ledger, self.bench, concurrency=concurrency)

    def schedule(self, name: str = "job", *, slow: bool = True, **fields: Any) -> UUID:
        """A job whose runs end when the test says so (or at once, when it is not slow)."""
        executor = {"kind": "python", "handler": "x"} if slow else {"kind": "noop"}
        return self.ledger.schedule(a_spec(name=name, executor=executor, **fields)).job_id

    def step(self, later: timedelta = timedelta()) -> list[str]:
        """Some time passes, the dispatcher works; returns the names of the jobs that were
        started.
        """
        self.clock.advance(later)
        before = len(self.bench.launched)
        while self.dispatcher.run_once():
            pass
        return [claimed.name for claimed in self.bench.launched[before:]]

    def topics(self, job_id: UUID) -> list[str]:
        return [event["topic"] for event in self.ledger.history(job_id)]


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    floor = Floor(tmp_path, concurrency=3)
    yield floor
    laws.check_event_store(floor.ledger)
    for events in laws.histories(floor.ledger).values():
        laws.check_history(events)
    floor.ledger.close()


# -- starting -----------------------------------------------------------------------------------


def test_nothing_starts_before_its_time(floor: Floor) -> None:
    floor.schedule()

    assert floor.step(MINUTE - SECOND) == []
    assert floor.step(SECOND) == ["job"]


def test_no_more_runs_are_open_than_there_are_slots(floor: Floor) -> None:
    for number in range(10):
        floor.schedule(f"job {number}")

    assert len(floor.step(MINUTE)) == 3
    assert floor.step() == []


def test_a_slot_that_becomes_free_is_used(floor: Floor) -> None:
    for number in range(10):
        floor.schedule(f"job {number}")
    floor.step(MINUTE)

    floor.bench.end(floor.bench.launched[1], DONE)

    assert len(floor.step()) == 1
    assert len(floor.bench.running) == 3


def test_instant_runs_take_no_slot(floor: Floor) -> None:
    for number in range(4):
        floor.schedule(f"slow {number}")
    for number in range(20):
        floor.schedule(f"quick {number}", slow=False)

    started = floor.step(MINUTE)

    assert sum(name.startswith("slow") for name in started) == 3
    assert sum(name.startswith("quick") for name in started) == 20


def test_runs_that_wait_for_a_slot_start_in_the_order_of_their_time(floor: Floor) -> None:
    for seconds in (25, 5, 15, 20, 10, 30):
        floor.schedule(f"{seconds}", schedule={"kind": "every", "interval_seconds": seconds})
    started = floor.step(30 * SECOND)

    while floor.bench.running:
        floor.bench.end(
            next(iter(floor.bench.running.values())), Failed("x", "other", None, None, 1)
        )
        started += floor.step()

    assert started == ["5", "10", "15", "20", "25", "30"]


def test_a_requested_run_starts_before_what_is_due(floor: Floor) -> None:
    for number in range(5):
        floor.schedule(f"job {number}")
    asked = floor.schedule("asked", schedule={"kind": "cron", "expr": "@yearly"})
    floor.ledger.run(asked)

    assert floor.step(MINUTE)[0] == "asked"


def test_one_job_never_has_two_runs_open(floor: Floor) -> None:
    floor.schedule(schedule=EVERY_MINUTE)

    started = [name for _ in range(10) for name in floor.step(MINUTE)]

    assert started == ["job"]


def test_a_job_paused_after_it_became_due_is_not_started(floor: Floor) -> None:
    job_id = floor.schedule()
    floor.clock.advance(MINUTE)
    floor.ledger.pause(job_id)

    assert floor.step() == []


def test_a_pause_ends_by_itself_at_its_instant(floor: Floor) -> None:
    job_id = floor.schedule()
    floor.ledger.pause(job_id, until=NOON + 10 * MINUTE)

    assert floor.step(10 * MINUTE) == []
    assert floor.step(MINUTE) == ["job"]

    resumed = floor.ledger.history(job_id)[2]
    assert (resumed["topic"], resumed["actor"]["kind"]) == ("job.resumed", "system")


def test_claims_that_failed_on_a_full_disk_are_repeated_when_there_is_room(floor: Floor) -> None:
    job_id = floor.schedule()
    event_store = floor.ledger.event_store
    assert isinstance(event_store, SQLiteEventStore)
    count = event_store._writer.execute("PRAGMA page_count").fetchone()[0]
    event_store._writer.execute(f"PRAGMA max_page_count={count}")
    fill_up(floor.ledger)
    with raises(LedgerError):
        floor.step(MINUTE)
    assert floor.bench.launched == []

    event_store._writer.execute(f"PRAGMA max_page_count={count + 1000}")

    assert floor.step() == ["job"]
    assert floor.topics(job_id) == ["job.scheduled", "job.run_started"]


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
    floor = Floor(tmp_path, concurrency=10_000)
    for number in range(count):
        floor.schedule(f"job {number}")
    floor.clock.advance(timedelta(days=1))

    started = [len(floor.step())]
    started += [len(floor.step(timedelta(seconds=apart))) for _ in range(count - 1)]

    assert started == [1] * count
    floor.ledger.close()


def test_slightly_late_slots_start_at_once(tmp_path: Path) -> None:
    floor = Floor(tmp_path, concurrency=100)
    for number in range(20):
        floor.schedule(f"job {number}")

    assert len(floor.step(MINUTE + 30 * SECOND)) == 20
    floor.ledger.close()


def test_late_slots_are_caught_up_once_each(floor: Floor) -> None:
    job_id = floor.schedule(schedule=EVERY_MINUTE)
    floor.step(60 * MINUTE)

    floor.bench.end(floor.bench.launched[0], DONE)
    floor.step()

    started, ended = floor.ledger.history(job_id)[1:]
    assert started["data"]["trigger"] == "catch_up"
    assert started["data"]["scheduled_for"] == "2026-03-02T12:01:00Z"
    assert ended["data"]["missed"]["count"] == 59
    assert ended["data"]["next_run_at"] == "2026-03-02T13:01:00Z"


def test_a_job_that_catches_up_none_records_what_it_skipped(floor: Floor) -> None:
    job_id = floor.schedule(schedule=EVERY_MINUTE, policy={"catch_up": "none"})

    assert floor.step(60 * MINUTE) == []
    assert floor.topics(job_id) == ["job.scheduled", "job.fires_skipped"]
    assert floor.step(MINUTE) == ["job"]


# -- ending -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "topic"),
    [
        (DONE, "job.run_succeeded"),
        (Failed("no", "other", None, None, 1), "job.run_failed"),
        (Blocked("commands are off"), "job.run_blocked"),
    ],
)
def test_an_outcome_is_recorded_once_by_the_dispatcher(
    floor: Floor, outcome: Outcome, topic: str
) -> None:
    job_id = floor.schedule()
    floor.step(MINUTE)

    floor.bench.end(floor.bench.launched[0], outcome)
    floor.step()
    floor.step()

    last = floor.ledger.history(job_id)[-1]
    assert floor.topics(job_id) == ["job.scheduled", "job.run_started", topic]
    assert (last["actor"]["id"], last["source"]) == ("dispatcher", "dispatcher")


def test_a_one_shot_completes_with_its_run(floor: Floor) -> None:
    job_id = floor.schedule(schedule={"kind": "at", "at": "2026-03-02T12:00:30Z"}, slow=False)

    floor.step(MINUTE)

    assert floor.ledger.job(job_id)["status"] == "completed"
    assert floor.ledger.job_cache.due.next_at() is None


def test_an_outcome_that_cannot_be_stored_is_recorded_as_a_failure(floor: Floor) -> None:
    job_id = floor.schedule()
    floor.step(MINUTE)

    floor.bench.end(floor.bench.launched[0], Succeeded("\ud800", 1, "0" * 64, 1))
    floor.step()

    last = floor.ledger.history(job_id)[-1]
    assert (last["topic"], last["data"]["failure_class"]) == ("job.run_failed", "other")
    assert "could not be recorded" in last["data"]["error"]


def test_a_report_of_a_run_that_is_not_open_any_more_changes_nothing(floor: Floor) -> None:
    job_id = floor.schedule()
    floor.step(MINUTE)
    [claimed] = floor.bench.launched
    floor.bench.end(claimed, DONE)
    floor.step()
    floor.bench.put_back(Finished(claimed, DONE))

    floor.step()

    assert floor.topics(job_id) == ["job.scheduled", "job.run_started", "job.run_succeeded"]


# -- lost ---------------------------------------------------------------------------------------


def test_runs_of_a_former_owner_are_recorded_as_lost_once(tmp_path: Path) -> None:
    before = Floor(tmp_path)
    ids = [before.schedule(f"job {number}") for number in range(5)]
    before.step(MINUTE)
    before.ledger.close()
    after = Floor(tmp_path, seed=1)

    after.step(MINUTE)

    for job_id in ids:
        events = after.ledger.history(job_id)
        causes = [e["data"]["cause"] for e in events if e["topic"] == "job.run_lost"]
        assert causes == ["owner_restarted"]
    assert after.ledger.job(ids[0])["consecutive_losses"] == 0
    after.ledger.close()


def test_a_run_taken_over_by_its_target_is_lost_when_its_lease_ends(floor: Floor) -> None:
    job_id = floor.schedule(policy={"lease_seconds": 90}, schedule=EVERY_MINUTE)
    floor.step(MINUTE)
    floor.bench.end(floor.bench.launched[0], Deferred())
    floor.step()

    assert floor.step(89 * SECOND) == []
    assert "job.run_lost" not in floor.topics(job_id)
    floor.step(SECOND)

    last = floor.ledger.history(job_id)[-1]
    assert (last["topic"], last["data"]["cause"]) == ("job.run_lost", "lease_expired")


def test_a_run_of_this_node_is_not_lost_however_long_it_takes(floor: Floor) -> None:
    job_id = floor.schedule(policy={"lease_seconds": 1})

    floor.step(MINUTE)
    floor.step(timedelta(days=1))

    assert floor.topics(job_id) == ["job.scheduled", "job.run_started"]


# -- probes -------------------------------------------------------------------------------------


def test_a_breaker_that_probes_closes_by_itself(floor: Floor) -> None:
    job_id = floor.schedule(policy={"trip_after": 1, "probe_after_seconds": 300})
    floor.step(MINUTE)
    floor.bench.end(floor.bench.launched[0], Failed("x", "other", None, None, 1))
    floor.step()
    assert floor.step(4 * MINUTE) == []

    assert floor.step(MINUTE) == ["job"]
    floor.bench.end(floor.bench.launched[1], DONE)
    floor.step()

    assert floor.ledger.job(job_id)["status"] == "active"
    assert floor.topics(job_id)[-1] == "job.circuit_closed"


# -- instants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-30 * MINUTE, timedelta(hours=-2), timedelta(days=-400)])
def test_a_clock_that_is_set_back_starts_no_slot_twice(floor: Floor, jump: timedelta) -> None:
    job_id = floor.schedule(schedule=EVERY_MINUTE, slow=False)
    for _ in range(5):
        floor.step(MINUTE)

    floor.clock.advance(jump)
    for _ in range(5):
        floor.step(MINUTE)

    slots = [
        event["data"]["scheduled_for"]
        for event in floor.ledger.history(job_id)
        if event["topic"] == "job.run_started"
    ]
    assert len(slots) == len(set(slots))


def test_recorded_instants_are_those_of_the_given_clock(floor: Floor) -> None:
    job_id = floor.schedule()
    floor.step(MINUTE)

    started = floor.ledger.history(job_id)[-1]

    assert datetime.fromisoformat(started["timestamp"]) == NOON + MINUTE
    assert floor.clock.now().tzinfo is UTC

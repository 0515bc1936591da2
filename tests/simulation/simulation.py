"""A simulated ledger with scheduled faults: one process, one seed, simulated time.

The writer is driven and waited for step by step, so a seed always gives the same history.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from ledger import Dispatcher, Ledger
from ledger.application.commands.runs import Claimed
from ledger.dispatch.executors.outcomes import Blocked, Deferred, Outcome
from ledger.dispatch.executors.pool import Finished
from ledger.domain.job.outcomes import Failure, Success
from ledger.errors import LedgerError, StorageFull
from ledger.store.event_store import AppendUnknown, EventStore
from ledger.store.mapper import EventMapper
from ledger.store.records import AppendOutcome, EventBatch
from projections.read_models import ReadModels
from tests.simulation.external_workers import WORKER, ExternalWorkers
from tests.support.builders import NOON, ManualClock, open_ledger
from tests.support.fake_pool import FakePool

PLENTY = 10_000
CALM_STEPS = 60
CALM_STEP = timedelta(seconds=20)
CLASSES = ("rate_limited", "timeout", "server_error", "other")


class FaultyEventStore:
    """An event store whose appends fail now and then: before the commit, after it (the answer is
    lost), or for want of room.
    """

    def __init__(self, event_store: EventStore, chance: Random, rate: float) -> None:
        self._event_store = event_store
        self._chance = chance
        self.rate = rate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event_store, name)

    def append(
        self, batches: Sequence[EventBatch], mapper: EventMapper, *, now: int
    ) -> list[AppendOutcome]:
        fault = self._chance.random() / self.rate if self.rate else 1.0
        if fault < 0.3:
            raise AppendUnknown("the connection broke before the commit")
        if fault < 0.4:
            raise StorageFull
        outcomes = self._event_store.append(batches, mapper, now=now)
        if fault < 1.0:
            raise AppendUnknown("the answer of the commit was lost")
        return outcomes


class SimulatedWork(FakePool):
    """A run pool in simulated time: each run takes a while and ends at random. Survives no
    crash.
    """

    def __init__(
        self,
        clock: ManualClock,
        chance: Random,
        launched: list[Claimed],
        external_workers: ExternalWorkers,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._chance = chance
        self._launched = launched
        self._external_workers = external_workers
        self._ends: dict[str, Any] = {}

    def launch(self, claimed: Claimed) -> None:
        super().launch(claimed)
        self._launched.append(claimed)
        after = timedelta(seconds=self._chance.randrange(0, 150))
        self._ends[claimed.run.run_id] = self._clock.now() + after

    def finished(self, limit: int) -> list[Finished]:
        now = self._clock.now()
        for claimed in [run for run in self.running.values() if self._ends[run.run.run_id] <= now]:
            self.end(claimed, self._fate(claimed))
        return super().finished(limit)

    def _fate(self, claimed: Claimed) -> Outcome:
        if self._chance.random() < 0.1:
            self._external_workers.take_over(claimed.job_id, claimed.run.run_id)
            return Deferred()
        return self._outcome()

    def _outcome(self) -> Outcome:
        dice = self._chance.random()
        if dice < 0.55:
            return Success("", 0, "0" * 64, 1)
        if dice < 0.95:
            kind = self._chance.choice(CLASSES)
            return Failure(f"{kind} after {self._chance.randrange(999)} ms", kind, "host", None, 1)
        return Blocked("the target is refused")


class Simulation:
    """One ledger with a dispatcher, operators and faults. `step` lets a little of everything
    happen.
    """

    def __init__(self, folder: Path, seed: int, *, fault_rate: float = 0.05) -> None:
        self.chance = Random(seed)
        self.clock = ManualClock(NOON)
        self.folder = folder
        self.fault_rate = fault_rate
        self.launched: list[Claimed] = []
        self.external_workers = ExternalWorkers(self.clock, self.chance)
        self.answered: list[int] = []
        self.jobs: list[UUID] = []
        self.ledger: Ledger
        self.read_models: ReadModels
        self.open()

    def open(self) -> None:
        """Start a process on the folder."""
        self.ledger = open_ledger(self.folder, self.clock, seed=self.chance.randrange(2**32))
        self.read_models = ReadModels.open(self.ledger, self.folder / "data" / "projections.db")
        self.faults = FaultyEventStore(self.ledger.event_store, self.chance, self.fault_rate)
        self.ledger.writer.event_store = self.ledger.writer._snapshots._event_store = self.faults
        self.work = SimulatedWork(self.clock, self.chance, self.launched, self.external_workers)
        self.dispatcher = Dispatcher(self.ledger, self.work, concurrency=5)

    def close(self) -> None:
        """End the process in good order."""
        self.faults.rate = 0.0
        self.read_models.close()
        self.ledger.close()

    def crash(self) -> None:
        """End the process as kill -9 would: nothing is saved, no run reports."""
        self.ledger.job_cache.changed.clear()
        self.ledger.writer._snapshots._unsaved = 0
        self.ledger.job_cache.position = self.ledger.event_store.snapshots_position()
        self.close()
        self.open()

    def step(self) -> None:
        """Let some time pass, operators act, faults happen, and the dispatcher work."""
        self.clock.advance(timedelta(seconds=self.chance.choice((0, 1, 5, 20, 60, 61))))
        dice = self.chance.random()
        if dice < 0.01:
            self.crash()
        elif dice < 0.013:
            self.close()
            self.open()
        elif dice < 0.018:
            self.clock.advance(timedelta(seconds=self.chance.choice((400, 4_000, 90_000))))
        elif dice < 0.023:
            self.clock.advance(timedelta(seconds=-self.chance.randrange(1, 30)))
        elif dice < 0.3:
            self.operate()
        self.dispatch()
        self.external_workers.work(self.ledger, self.dispatcher)
        if self.chance.random() < 0.3:
            self.read_models.catch_up()

    def calm_down(self) -> None:
        """Stop injecting faults, give room for all, and let time pass until everything that was due
        has run.
        """
        self.faults.rate = 0.0
        self.dispatcher._cycle.concurrency = PLENTY
        for _ in range(CALM_STEPS):
            self.clock.advance(CALM_STEP)
            self.dispatch()
            self.external_workers.work(self.ledger, self.dispatcher, room=PLENTY)

    def dispatch(self) -> None:
        """One step of the dispatcher, which must survive a failing store."""
        with suppress(LedgerError):
            self.dispatcher.run_once()

    def operate(self) -> None:
        """One command of an operator; a refusal is an answer too."""
        try:
            if not self.jobs or self.chance.random() < 0.2:
                answer = self.ledger.schedule(self._spec())
                self.jobs.append(answer.job_id)
            else:
                answer = self._command(self.chance.choice(self.jobs))
            self.answered.append(answer.position)
        except LedgerError:
            pass

    def _command(self, job_id: UUID) -> Any:
        ledger, dice = self.ledger, self.chance.random()
        if dice < 0.25:
            until = self.clock.now() + timedelta(seconds=self.chance.randrange(1, 900))
            return ledger.pause(job_id, until=until if self.chance.random() < 0.4 else None)
        if dice < 0.6:
            return ledger.resume(job_id, force=self.chance.random() < 0.6, reason="tried it")
        if dice < 0.75:
            return ledger.run(job_id)
        if dice < 0.95:
            return ledger.amend(job_id, self._patch())
        return ledger.delete(job_id)

    def _patch(self) -> dict[str, Any]:
        if self.chance.random() < 0.3:
            return {"executor": self.chance.choice((WORKER, None))}
        return {"description": f"{self.chance.randrange(9)}"}

    def _spec(self) -> dict[str, Any]:
        number = len(self.jobs) + self.chance.randrange(10**6)
        return {
            "name": f"job {number}",
            "schedule": self._schedule(),
            "task": "t",
            "executor": self.chance.choice((WORKER, None)),
            "policy": {
                "trip_after": self.chance.randrange(1, 5),
                "backoff_seconds": [self.chance.choice((0.5, 10, 70))],
                "probe_after_seconds": self.chance.choice((None, None, 60)),
                "catch_up": self.chance.choice(("one", "none")),
                "jitter_seconds": self.chance.choice((0, 0, 20)),
            },
        }

    def _schedule(self) -> dict[str, Any]:
        kind = self.chance.choice(("every", "grid", "cron", "cron", "at"))
        if kind == "cron":
            return {"kind": "cron", "expr": self.chance.choice(("* * * * *", "*/5 * * * *"))}
        if kind == "at":
            at = self.clock.now() + timedelta(seconds=self.chance.randrange(1, 600))
            return {"kind": "at", "at": at.isoformat()}
        plain = {"kind": "every", "interval_seconds": self.chance.choice((30, 60, 300))}
        return {**plain, "anchor": "grid"} if kind == "grid" else plain

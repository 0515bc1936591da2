"""A small ledger in simulated time, under the real dispatcher: runs end as a test says."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from ledger import Dispatcher, Ledger
from ledger.application.commands.runs import Claimed
from ledger.dispatch.executors.outcomes import Outcome
from ledger.domain.event_context import Actor
from ledger.domain.job.outcomes import Failure, Success
from projections.filters.as_of import AsOfResolver
from projections.history.history import History
from projections.queries.best_effort import known_storm
from projections.read_models import ReadModels
from projections.why.question import StormOf, Why
from tests.support.builders import ManualClock, a_spec, open_ledger
from tests.support.fake_pool import TimedPool

OLGA = Actor("olga", "user")
DONE = Success("", 0, "0" * 64, 1)
LIMITED = Failure("429 Too Many Requests", "rate_limited", "api.example", None, 7)
TICK = timedelta(seconds=1)
NEVER = timedelta(days=1000)

Script = list[tuple[timedelta, Outcome]]


def why_of(ledger: Ledger, storm_of: StormOf = lambda *_: None) -> Why:
    """The query why, on one ledger."""
    events = ledger.events
    instants = AsOfResolver(events, ledger.clock, lambda: ledger.writer.position)
    history, leases = History(events, ledger.live_job), ledger.job_cache.runs.leases
    return Why(events, history, instants, storm_of=storm_of, is_leased=leases.__contains__)


class Scenario:
    """One ledger with its dispatcher and its read models. `at` lets time pass until an instant."""

    def __init__(self, folder: Path, at: datetime | None = None, *, concurrency: int = 5) -> None:
        self.clock = ManualClock(at) if at is not None else ManualClock()
        self.scripts: dict[UUID, Script] = {}
        self._folder = folder
        self._concurrency = concurrency
        self._starts = 0
        self.open()

    def open(self) -> None:
        """Start a node."""
        self._starts += 1
        self.ledger = open_ledger(self._folder, self.clock, seed=self._starts)
        self.read_models = ReadModels.open(self.ledger, self._folder / "data" / "projections.db")
        self.work = TimedPool(self.clock, self._fate)
        self.dispatcher = Dispatcher(self.ledger, self.work, concurrency=self._concurrency)
        self.question = why_of(self.ledger, self._storm_of)

    def _storm_of(self, failure: int, position: int) -> str | None:
        return known_storm(self.read_models, failure, as_of=position)

    def close(self) -> None:
        self.read_models.close()
        self.ledger.close()

    def _fate(self, claimed: Claimed) -> tuple[timedelta, Outcome]:
        """The next line of the job's script; then the last one repeatedly."""
        script = self.scripts.get(claimed.job_id) or [(timedelta(0), DONE)]
        return script.pop(0) if len(script) > 1 else script[0]

    def silence(self, until: datetime) -> None:
        """The node is killed, and restarts at an instant."""
        self.close()
        self.clock.advance(until - self.clock.now())
        self.open()
        self.dispatcher.run_once()

    def schedule(
        self, name: str = "report", *, script: Script | None = None, **fields: Any
    ) -> UUID:
        """A job of olga's; its executor is not noop, so that its runs take slots."""
        fields = {"executor": None, **fields}
        call = self.ledger.context("as agreed", actor=OLGA, source="cli")
        job_id = self.ledger.schedule(a_spec(name=name, **fields), context=call).job_id
        self.scripts[job_id] = script or [(timedelta(0), DONE)]
        return job_id

    def until(self, at: datetime, step: timedelta = TICK) -> None:
        """Let the dispatcher work until an instant, every second."""
        while self.clock.now() < at:
            self.clock.advance(min(step, at - self.clock.now()))
            self.dispatcher.run_once()
        self.dispatcher.run_once()

    def why(
        self, job_id: UUID, at: datetime | None = None, *, is_unattended: bool = False
    ) -> dict[str, Any]:
        """Why, now or at an instant that has passed."""
        self.read_models.catch_up()
        position = self.ledger.writer.position
        if is_unattended:
            return self.question.answer(job_id, position=position, is_unattended=True)
        if at is None:
            here = self.dispatcher.queue_position_of(job_id)
            return self.question.answer(job_id, position=position, queue_position=here)
        return self.question.answer(job_id, position=self.ledger.events.position_at(at), at=at)

    def topics(self, answer: dict[str, Any]) -> list[str]:
        """The topics of an answer's links, without the stream's name."""
        return [link["topic"].removeprefix("job.") for link in answer["chain"]]

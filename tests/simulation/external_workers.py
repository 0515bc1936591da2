"""Execution outside of the ledger's process, in simulated time: workers that claim, targets that
took a run over. They survive every crash of the ledger; some vanish, and some of those reconnect
late.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from ledger import Dispatcher, Ledger
from ledger.application.command_context import CommandContext
from ledger.application.commands import runs as run_commands
from ledger.application.commands.command import Command, CommandResult
from ledger.domain.event_context import Actor
from ledger.domain.job.outcomes import Failure
from ledger.domain.job.runs import Claim
from ledger.errors import LedgerError, RunSuperseded
from tests.support.builders import SUCCESS, ManualClock

QUEUE = "gpu"
WORKER = {"kind": "worker", "queue": QUEUE}
MAX_HELD = 8
"""Runs that workers execute at a time; in a calm simulation there is room for all."""


@dataclass(frozen=True, slots=True)
class ExternalRun:
    """A run that is executed elsewhere."""

    job_id: UUID
    run_id: str
    ends_at: datetime


class ExternalWorkers:
    """Workers and targets. `work` lets each do a little."""

    def __init__(self, clock: ManualClock, chance: Random) -> None:
        self.promised: dict[str, datetime] = {}
        """Until when a run lives, according to the answer to its last heartbeat."""
        self.accepted: list[str] = []
        """Runs of which a report was accepted."""
        self.refused: list[str] = []
        """Runs of which a report or a heartbeat was refused."""
        self._held: list[ExternalRun] = []
        self._vanished: list[ExternalRun] = []
        self._clock = clock
        self._chance = chance

    def take_over(self, job_id: UUID, run_id: str) -> None:
        """A worker or target starts a run, or dies before."""
        ends_at = self._clock.now() + timedelta(seconds=self._chance.randrange(0, 200))
        place = self._vanished if self._chance.random() < 0.15 else self._held
        place.append(ExternalRun(job_id, run_id, ends_at))

    def work(self, ledger: Ledger, dispatcher: Dispatcher, *, room: int = MAX_HELD) -> None:
        """Each reports its progress, then claims what it has room for."""
        if self._vanished and self._chance.random() < 0.1:
            self._held.append(self._vanished.pop())
        self._held = [item for item in self._held if self._goes_on(ledger, item)]
        while len(self._held) < room and self._claims(ledger, dispatcher):
            pass

    def _goes_on(self, ledger: Ledger, item: ExternalRun) -> bool:
        """One heartbeat, or one report; False when nothing is left to report."""
        try:
            if item.ends_at <= self._clock.now():
                ledger.execute(self._report(ledger, item))
                self.accepted.append(item.run_id)
                return False
            if self._chance.random() < 0.6:
                self.promised[item.run_id] = ledger.execute(self._heartbeat(ledger, item))
        except RunSuperseded:
            self.refused.append(item.run_id)
            return False
        except LedgerError:
            pass  # repeated at the next step
        return True

    def _claims(self, ledger: Ledger, dispatcher: Dispatcher) -> bool:
        due = dispatcher.queues.take(QUEUE)
        if due is None:
            return False
        how = Claim(dispatcher.node, due.is_late, self._chance.choice((None, 5, 30)))
        hand_out = run_commands.HandOutRun(due.item.job_id, QUEUE, how, self._call(ledger))
        try:
            answer = ledger.execute(hand_out)
        except LedgerError:
            dispatcher.queues.add(QUEUE, due)
            return False
        if answer is not None and answer.job is not None:
            self.take_over(answer.job_id, answer.job["open_run"]["run_id"])
        return True

    def _report(self, ledger: Ledger, item: ExternalRun) -> Command[CommandResult]:
        is_failure = self._chance.random() < 0.3
        outcome = Failure("it broke", "other", None, None, 1) if is_failure else SUCCESS
        call = self._call(ledger)
        return run_commands.ReportRun(item.job_id, item.run_id, outcome, call)

    def _heartbeat(self, ledger: Ledger, item: ExternalRun) -> Command[datetime]:
        seconds = self._chance.choice((None, 5, 30, 90))
        return run_commands.ExtendLease(item.job_id, item.run_id, seconds, self._call(ledger))

    def _call(self, ledger: Ledger) -> CommandContext:
        now = self._clock.now()
        return ledger.context(actor=Actor("wendy", "worker"), source="http", now=now)

"""Carries out recoveries: the probe, then one job after the other, until all are resumed or too
many trip again.

What has been done follows from committed events alone, so a driver may die between any two steps.
Each step names the version of the recovery that it was decided on, so of two drivers only one takes
it. The rate is measured from the last step: time without a driver is not caught up, and a clock
that is set back speeds nothing up.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands import recoveries as recovery_commands
from ledger.application.commands.command import Command
from ledger.application.ledger import Ledger
from ledger.application.open_recoveries import OpenRecoveries
from ledger.application.recoveries.history import SUCCEEDED, RecoveryReader
from ledger.background_loop import BackgroundLoop
from ledger.domain.recovery.recovery import (
    PROBE_FAILED,
    RE_TRIPS,
    RESUMED,
    Recovery,
    recovery_stream,
)
from ledger.errors import LedgerError
from ledger.store.records import RecordedEvent

LEADER_LOCK = "recoveries"
PATIENCE_SECONDS = 3600.0
"""How long to wait for the probe's outcome, and at the end for the first outcomes of the other
jobs.
"""
LOCK_CHECK_SECONDS = 2.0
"""How often the leader lock is acquired or checked when nothing happens."""
PAUSE_SECONDS = 0.05
IDLE_PAUSE_SECONDS = 0.5
"""The pause between two polls, so that a busy ledger is not read after every commit; longer while
no recovery is open.
"""
RETRY_SECONDS = 1.0
MAX_DRIVEN = 100
"""Recoveries that are carried out at once; the next ones wait for an end."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RecoveryProgress:
    """One open recovery as a driver sees it. It can be read again from events, except for how long
    this driver has been waiting.
    """

    number: int
    recovery: Recovery
    changed_at: float = 0.0
    """When its last event was first seen, on the monotonic clock."""
    trips_read_to: int = 0
    resumed: dict[UUID, RecordedEvent] = field(default_factory=dict)
    tripped: set[UUID] = field(default_factory=set)
    answered: set[UUID] = field(default_factory=set)
    has_probe_succeeded: bool = False


class RecoveryDriver:
    """One per dispatching node; the leader works, the others stand by. `run_once` takes the steps
    that are due; `start` does so from now on.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._leader_lock = ledger.event_store.leader_lock(LEADER_LOCK)
        self._reader = RecoveryReader(ledger.events)
        self._known = OpenRecoveries(ledger.events)
        self._open: dict[int, RecoveryProgress] = {}
        self._loop = BackgroundLoop("recovery driver", self._drive)

    def start(self) -> None:
        """Continue every open recovery from now on."""
        self._ledger.writer.listeners.append(self._loop.wake)
        self._loop.start()

    def close(self) -> None:
        """Stop after the step under way; the next leader continues."""
        self._loop.close()
        self._leader_lock.close()

    @property
    def problem(self) -> str | None:
        """Why recoveries do not proceed at present, or None."""
        return self._loop.problem

    def run_once(self) -> int:
        """Take the steps that are due, one of each open recovery at most, all in one append.

        Returns how many events of recoveries were decided. Raises a LedgerError when they could not
        be committed: the next call reads what was.
        """
        if not self._leader_lock.is_held():
            self._open.clear()
            return 0
        now = self._ledger.clock.now()
        commands = [
            command
            for progress in self._read_open()
            if (command := self._due(progress, now)) is not None
        ]
        if not commands:
            return 0
        results = self._ledger.submit(commands).result()
        problem = next((result for result in results if isinstance(result, LedgerError)), None)
        if problem is not None:
            raise problem
        return sum(result is True for result in results)

    def wait_seconds(self) -> float | None:
        """How long it is until a step is due, as far as the clock decides; None when no open
        recovery waits for the clock. Any append may change it.
        """
        now = self._ledger.clock.now()
        waits = [self._wait(progress, now) for progress in self._open.values()]
        return min(waits, default=None)

    # -- the thread -----------------------------------------------------------------------------

    def _drive(self) -> float:
        while self.run_once() and not self._loop.is_closing:
            pass
        self._loop.pause(PAUSE_SECONDS if self._open else IDLE_PAUSE_SECONDS)
        seconds = self.wait_seconds()
        return LOCK_CHECK_SECONDS if seconds is None else min(LOCK_CHECK_SECONDS, seconds)

    # -- what the events say --------------------------------------------------------------------

    def _read_open(self) -> list[RecoveryProgress]:
        """The open recoveries as they are now."""
        self._known.refresh()
        for number in list(self._open):
            if number not in self._known.open:
                del self._open[number]
        end = self._ledger.writer.position
        for number in list(self._known.open)[:MAX_DRIVEN]:
            progress = self._open.setdefault(
                number, RecoveryProgress(number, Recovery.blank(recovery_stream(number)))
            )
            self._refresh(progress, end)
        return [progress for progress in self._open.values() if progress.recovery.is_open]

    def _refresh(self, progress: RecoveryProgress, end: int) -> None:
        before = progress.recovery.version
        for event in self._reader.apply_events(progress.recovery, until=None):
            if event.data.get("outcome") == RESUMED:
                progress.resumed[UUID(event.data["job_id"])] = event
            progress.trips_read_to = progress.trips_read_to or event.position
        if progress.recovery.version != before:
            progress.changed_at = self._ledger.clock.elapsed()
        trips = self._reader.trips(progress.resumed, progress.trips_read_to, end)
        progress.tripped |= trips.keys()
        progress.trips_read_to = max(progress.trips_read_to, end)

    # -- what is due ----------------------------------------------------------------------------

    def _due(self, progress: RecoveryProgress, now: datetime) -> Command[bool] | None:
        recovery = progress.recovery
        if recovery.is_probing and not progress.has_probe_succeeded:
            verdict = self._has_probe_succeeded(progress)
            if verdict is not True:
                return self._abort(progress, PROBE_FAILED, now) if verdict is False else None
            progress.has_probe_succeeded = True
        if recovery.abort_on is not None and len(progress.tripped) >= recovery.abort_on:
            return self._abort(progress, RE_TRIPS, now)
        if recovery.remaining:
            return self._step(progress, now)
        return self._complete(progress, now) if self._are_outcomes_known(progress) else None

    def _has_probe_succeeded(self, progress: RecoveryProgress) -> bool | None:
        """Whether the probe succeeded; None while that is unknown. No outcome for PATIENCE_SECONDS
        is a failure.
        """
        if not progress.resumed:
            return False
        [step] = progress.resumed.values()
        outcome = self._reader.first_outcome(step, self._ledger.writer.position)
        if outcome is None:
            return False if self._waited(progress) >= PATIENCE_SECONDS else None
        return outcome.topic == SUCCEEDED

    def _step(self, progress: RecoveryProgress, now: datetime) -> Command[bool] | None:
        recovery = progress.recovery
        if self._wait(progress, now) > 0:
            return None
        job = self._ledger.job_cache.jobs.get(UUID(recovery.remaining[0]))
        if job is not None:  # loaded here, so that the writer finds it cached
            job.next_slot(now)
            job.missed_slots(now, job.status)
        return recovery_commands.StepRecovery(
            progress.number, recovery.version, now, self._new_id()
        )

    def _abort(self, progress: RecoveryProgress, cause: str, now: datetime) -> Command[bool]:
        version, count = progress.recovery.version, len(progress.tripped)
        context = self._context(progress, now)
        return recovery_commands.AbortFailingRecovery(
            progress.number, version, cause, count, context
        )

    def _complete(self, progress: RecoveryProgress, now: datetime) -> Command[bool]:
        version, count = progress.recovery.version, len(progress.tripped)
        return recovery_commands.CompleteRecovery(
            progress.number, version, count, self._context(progress, now)
        )

    def _wait(self, progress: RecoveryProgress, now: datetime) -> float:
        """Seconds until the clock makes something due: the next step, or the end of patience. By
        the wall or by the monotonic clock, whichever comes first: neither can delay it, and one
        that jumps makes one step early at most.
        """
        recovery = progress.recovery
        is_dripping = recovery.remaining and not (
            recovery.is_probing and not progress.has_probe_succeeded
        )
        if not is_dripping:
            return max(0.0, PATIENCE_SECONDS - self._waited(progress))
        if recovery.step_count == 0:
            return 0.0
        interval = recovery.interval.total_seconds()
        by_wall = (recovery.last_step_at + recovery.interval - now).total_seconds()
        return max(0.0, min(by_wall, interval - self._waited(progress)))

    def _waited(self, progress: RecoveryProgress) -> float:
        return self._ledger.clock.elapsed() - progress.changed_at

    def _are_outcomes_known(self, progress: RecoveryProgress) -> bool:
        """Whether the first outcome of every resumed job is known, or the wait for it is over."""
        if self._waited(progress) >= PATIENCE_SECONDS:
            return True
        for job_id in progress.resumed.keys() - progress.answered:
            if self._has_first_outcome(job_id, progress.resumed[job_id]):
                progress.answered.add(job_id)
        return len(progress.answered) == len(progress.resumed)

    def _has_first_outcome(self, job_id: UUID, step: RecordedEvent) -> bool:
        """Whether a resumed job had its first outcome since, or will have none. Reads the job
        cache, which may be behind the step when another node took it.
        """
        job = self._ledger.job_cache.jobs.get(job_id)
        if job is None:
            job = self._ledger.fold(job_id)
        if job.version < step.data["job_version"]:
            return False
        may_run = job.may_fire or job.open_run is not None
        return not may_run or not (job.awaits_first_run or job.open_run is not None)

    def _context(self, progress: RecoveryProgress, now: datetime) -> CommandContext:
        """The context of the driver's own commands, on behalf of the planner."""
        correlation_id = progress.recovery.plan_context.correlation_id
        return self._ledger.dispatcher_context(correlation_id=correlation_id, now=now)

    def _new_id(self) -> str:
        return str(self._ledger.chance.new_id())

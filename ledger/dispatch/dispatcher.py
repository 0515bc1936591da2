"""Runs what is due: claims by an append, executes only what is committed, records each outcome
once.

`run_once` is one bounded step and can be driven by a test or a simulation; the thread around it
only waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ledger.dispatch.executors.outcomes import Blocked, Deferred, Failed, ended_of
from ledger.dispatch.executors.registry import Executors, ExecutorSettings
from ledger.dispatch.leases import GivenUp, Leases
from ledger.dispatch.queues import Queues
from ledger.dispatch.ready import Due, Ready
from ledger.dispatch.sweep import SWEEP, Sweep, ending_of
from ledger.dispatch.workshop import Finished, Workplace, Workshop
from ledger.domain.origin import Actor, Origin
from ledger.errors import Invalid, LedgerError, StartRefused, StorageFull, Unavailable
from ledger.store import run_commands
from ledger.store.application import Ledger
from ledger.store.commands import Call
from ledger.store.deciding import Command
from ledger.store.heads import UNPAUSE, Wake
from ledger.store.query import DISPATCHER
from ledger.store.run_commands import Claimed
from ledger.store.watch import Ended, Unwatched, Watch

CONCURRENCY = 32
MAX_CLAIMS = 500
"""Runs claimed in one append."""
MAX_REPORTS = 500
"""Outcomes recorded in one append."""
MAX_OUTCOMES_WAITING = 10_000
"""Outcomes that may wait while starts go first."""
MAX_WAKES = 10_000
"""Wakes taken over from the heads at a time."""
IDLE_SECONDS = 5.0
"""The longest wait: a wall clock that jumped is noticed within it."""
RETRY_SECONDS = 1.0
TROUBLE = (Unavailable, StorageFull)
"""Answers that say the ledger could not keep anything just now: what was asked is asked again."""

log = logging.getLogger(__name__)


class Dispatcher:
    """One node that runs jobs, in executors made from settings, or in a workplace of the
    caller's. Commands go through the ledger like everybody's; there is no second way in.
    """

    def __init__(
        self,
        ledger: Ledger,
        work: ExecutorSettings | Workplace,
        *,
        concurrency: int = CONCURRENCY,
        node: str | None = None,
    ) -> None:
        if ledger.book.is_shared:  # its leases would take every other node for dead
            raise StartRefused("This release dispatches on SQLite only, not on a shared ledger.")
        self.node = node or f"node-{ledger.chance.new_id().hex[:12]}"
        self.watch: Watch = Unwatched()
        self._ledger = ledger
        self._concurrency = concurrency
        self._held: set[str] = set()
        self._ready = Ready(self._is_instant)
        self.queues = Queues()
        self._sweep = Sweep(Leases(self.node, ledger.heads, self._held.__contains__))
        self._workshop: Workplace = (
            Workshop(Executors(work, clock=ledger.clock), ledger.heads.ring)
            if isinstance(work, ExecutorSettings)
            else work
        )
        self._thread = threading.Thread(target=self._run, name="ledger-dispatcher", daemon=True)
        self._is_draining = threading.Event()
        self._has_ended = threading.Event()
        self._problem: str | None = None
        self._lag_seconds = 0.0
        self._is_given_up = False
        self._actor = Actor(DISPATCHER, "system")

    # -- the thread -----------------------------------------------------------------------------

    def start(self) -> None:
        """Record as lost what former owners left open, then begin to run what is due."""
        self._workshop.start()
        self._thread.start()

    def drain(self, seconds: float) -> None:
        """Claim nothing more, let runs end for so long, record the rest as lost (`shutdown`), and
        stop.
        """
        self._is_draining.set()
        self.queues.close()
        self._ledger.heads.ring()
        if self._thread.ident is not None:
            self._has_ended.wait(seconds)
            self._give_up()
            self._thread.join()
        self._workshop.close()

    def health(self) -> dict[str, Any]:
        """Whether it runs, what is wrong if anything, how many runs are open, how late the last
        claims were.
        """
        is_running = self._thread.is_alive() and not self._is_draining.is_set()
        state = "broken" if is_running and self._problem else "running" if is_running else "stopped"
        return {
            "node": self.node,
            "state": state,
            "problem": self._problem,
            "open_runs": len(self._ledger.heads.open_runs()),
            "waiting": len(self._ready) + len(self.queues),
            "lag_seconds": round(self._lag_seconds, 3),
        }

    def _run(self) -> None:
        while not self._is_done():
            try:
                did = self.run_once()
                self._problem = None
            except LedgerError as error:
                self._problem = error.message
                self._ledger.heads.wait(RETRY_SECONDS)
            except Exception as error:  # the loop outlives a mistake, and readiness names it
                log.exception("the dispatcher met an error and goes on")
                self._problem = f"{type(error).__name__}: {error}"
                self._ledger.heads.wait(RETRY_SECONDS)
            else:
                if not did and not self._is_done():
                    self._ledger.heads.wait(self._idle_seconds())
        self._has_ended.set()

    def _is_done(self) -> bool:
        is_idle = not self._workshop.running and self._workshop.finished_count == 0
        return self._is_given_up or (self._is_draining.is_set() and is_idle)

    def _give_up(self) -> None:
        call = self._call(self._ledger.clock.now())
        left = list(self._workshop.running.values())
        if left:
            losses = [
                run_commands.lose(item.job_id, item.run.run_id, "shutdown", call) for item in left
            ]
            self._ledger.submit(losses).result()
        for item in left:
            self.watch.run_ended(item.run.run_id, Ended("lost", "lost"))
        self._is_given_up = True
        self._ledger.heads.ring()

    def _idle_seconds(self) -> float:
        now = self._ledger.clock.now()
        instants = (self._ledger.heads.next_at(), self._ready.next_release_at())
        coming = [(at - now).total_seconds() for at in instants if at is not None and at > now]
        if self._workshop.finished_count:
            return 0.0
        return min([IDLE_SECONDS, *coming])

    # -- one step -------------------------------------------------------------------------------

    def run_once(self) -> int:
        """Record outcomes and losses and claim what is due, all in one append; then launch what was
        claimed. In a burst starts go first: an outcome can wait, a start is late.

        Returns how many outcomes, losses and claims it dealt with. When the ledger cannot keep
        them, they are put back, and the LedgerError goes on to the caller.
        """
        now = self._ledger.clock.now()
        hand = self._take_in_hand(now)
        if hand.is_empty:
            return 0
        with self.watch.step():
            return self._take_note(hand, self._ask(hand, now), now)

    def _ask(self, hand: Hand, now: datetime) -> list[Any]:
        try:
            return self._ledger.submit(self._work(hand, now)).result()
        except BaseException:
            self._put_down(hand)
            raise

    def _take_in_hand(self, now: datetime) -> Hand:
        dues = [] if self._is_draining.is_set() else self._take_due(now)
        is_burst = len(dues) == MAX_CLAIMS and self._workshop.finished_count < MAX_OUTCOMES_WAITING
        finished = [] if is_burst else self._workshop.finished(MAX_REPORTS)
        return Hand(finished, self._sweep.take(now), dues)

    def _put_down(self, hand: Hand) -> None:
        for item in hand.finished:
            self._workshop.put_back(item)
        self._ready.give_back(hand.dues)
        self._sweep.hurry()

    def _work(self, hand: Hand, now: datetime) -> list[Command[Any]]:
        return [
            *(self._report(item, self._call(now)) for item in hand.finished),
            *(ending_of(item, self._call(now)) for item in hand.lost),
            *(self._claim(due, self._call(now)) for due in hand.dues),
        ]

    def _take_note(self, hand: Hand, results: Sequence[Any], now: datetime) -> int:
        """Deal with every result, then raise the first sign that the ledger is in trouble."""
        reported, swept = len(hand.finished), len(hand.finished) + len(hand.lost)
        for item, result in zip(hand.finished, results[:reported], strict=True):
            self._after_report(item, result)
        if any(isinstance(result, BaseException) for result in results[reported:swept]):
            self._sweep.hurry()
        for due, result in zip(hand.dues, results[swept:], strict=True):
            self._after_claim(due, result, now)
        problem = next((result for result in results if isinstance(result, TROUBLE)), None)
        if problem is not None:
            raise problem
        return len(results)

    def _claim(self, due: Due, call: Call) -> Command[Claimed | None]:
        return run_commands.claim(due.wake.job_id, call, node=self.node, is_late=due.is_late)

    def _take_due(self, now: datetime) -> list[Due]:
        wakes = self._ledger.heads.take_due(now, MAX_WAKES)
        self._ready.take_in([wake for wake in wakes if not self._leave_to_workers(wake, now)], now)
        places = max(0, self._concurrency - len(self._workshop.running))
        return self._ready.take(now, MAX_CLAIMS, places)

    def _leave_to_workers(self, wake: Wake, now: datetime) -> bool:
        job = self._ledger.heads.jobs.get(wake.job_id) or self._ledger.fold(wake.job_id)
        queue = run_commands.queue_of(job.executor)
        if queue is None or wake.cause == UNPAUSE:
            return False
        self.queues.add(queue, Due.first_seen(wake, now))
        return True

    def _is_instant(self, wake: Wake) -> bool:
        job = self._ledger.heads.jobs.get(wake.job_id)
        return job is not None and self._workshop.is_instant(job.executor)

    def _report(self, item: Finished, call: Call) -> Command[Any]:
        job_id, run_id = item.claimed.job_id, item.claimed.run.run_id
        match item.outcome:
            case Deferred():
                return run_commands.defer(job_id, run_id, call)
            case Blocked():
                return run_commands.report(job_id, run_id, item.outcome.cause, call)
            case _:
                return run_commands.report(job_id, run_id, item.outcome, call)

    def _after_report(self, item: Finished, result: object) -> None:
        run_id = item.claimed.run.run_id
        if isinstance(result, TROUBLE):
            self._workshop.put_back(item)
            return
        if isinstance(result, Invalid):
            self._workshop.put_back(Finished(item.claimed, _unfit(result)))
            return
        if isinstance(result, BaseException):
            log.warning("the outcome of run %s was not recorded: %s", run_id, result)
        if isinstance(item.outcome, Deferred):
            self._sweep.look_at(item.claimed.run.lease_until)
        self._held.discard(run_id)
        self.watch.run_ended(run_id, ended_of(item.outcome))

    def _after_claim(self, due: Due, result: object, now: datetime) -> None:
        if isinstance(result, Claimed):
            if due.wake.cause == "fire" and not due.is_late:
                self._lag_seconds = (now - due.wake.at).total_seconds()
                self.watch.claimed(self._lag_seconds)
            self._held.add(result.run.run_id)
            traceparent = self.watch.run_began(result.job_id, result.run)
            self._workshop.launch(
                replace(result, traceparent=traceparent) if traceparent else result
            )
        elif isinstance(result, TROUBLE):
            self._ready.give_back([due])
        elif isinstance(result, BaseException):
            log.error("job %s could not be claimed: %s", due.wake.job_id, result)
            self._ready.give_back([replace(due, release_at=now + SWEEP)])

    def _call(self, now: datetime) -> Call:
        return Call(now, Origin(str(self._ledger.chance.new_id()), self._actor, DISPATCHER))


@dataclass(frozen=True, slots=True)
class Hand:
    """What one step deals with: outcomes to record, runs to give up, wakes to claim."""

    finished: Sequence[Finished]
    lost: Sequence[GivenUp]
    dues: Sequence[Due]

    @property
    def is_empty(self) -> bool:
        return not (self.finished or self.lost or self.dues)


def _unfit(error: LedgerError) -> Failed:
    return Failed(
        error=f"The outcome could not be stored: {error.message}",
        failure_class="other",
        target=None,
        retry_after=None,
        duration_ms=0,
    )

"""Group commit: one thread decides every waiting command, appends them in one transaction, and then
answers all.

Every answer, also a refusal or "no change", waits for the commit it was decided in, so that it is
true of the event store.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import orjson

from ledger.application.batch import Decision, decide_all
from ledger.application.commands.command import Command, PositionedResult
from ledger.application.job_cache import JobCache
from ledger.application.open_recoveries import OpenRecoveries
from ledger.application.snapshot_writer import SnapshotWriter
from ledger.application.stream_cache import StreamCache
from ledger.application.unit_of_work import (
    ConcurrencyConflict,
    Limits,
    RetryAfterCommit,
    UnitOfWork,
)
from ledger.clock import Clock
from ledger.errors import LedgerError, OutcomeUnknown, Overloaded, Unavailable
from ledger.store.append import outcomes_of
from ledger.store.event_reader import EventReader
from ledger.store.event_store import AppendUnknown, EventStore
from ledger.store.instrumentation import CommandBatch, Instrumentation
from ledger.store.mapper import EventMapper
from ledger.store.records import AppendOutcome, Committed, EventBatch, VersionConflict

log = logging.getLogger(__name__)

MAX_WAITING = 8192
"""Commands that may wait; one more is Overloaded."""
MAX_BATCH = 1024
"""Commands decided in one transaction."""
MAX_TRIES = 3
"""How often a batch is decided again after its commit failed."""
MAX_CONFLICTS = 50
"""How often a command is decided again because another node appended first."""


class _NotCommitted(OutcomeUnknown):
    """The store certainly did not commit the batch: it may be decided again."""


@dataclass(slots=True)
class _Item:
    """The commands that one caller waits for together."""

    commands: Sequence[Command[Any]]
    future: Future[list[Any]]
    submitted_at: float
    caller: object


class Writer:
    """Owns writing: one thread, one queue. Only that thread uses its streams and unit of work."""

    def __init__(
        self,
        event_store: EventStore,
        mapper: EventMapper,
        job_cache: JobCache,
        clock: Clock,
        limits: Limits,
        instrumentation: Instrumentation,
    ) -> None:
        self.event_store = event_store
        self.job_cache = job_cache
        events = EventReader(event_store, mapper)
        self.streams = StreamCache(events, job_cache)
        recoveries = OpenRecoveries(events)
        self.unit = UnitOfWork(self.streams, mapper, recoveries, limits)
        self.listeners: list[Callable[[int], None]] = []
        self.position = event_store.tail().position
        self._mapper = mapper
        self._clock = clock
        self._instrumentation = instrumentation
        self._waiting: queue.Queue[_Item | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._snapshots = SnapshotWriter(event_store, job_cache, self.streams.load_job)
        self._entrance = threading.Lock()
        self._is_closed = False
        self._is_unsure = False
        """Whether an append may have been committed without an answer."""
        self._is_behind = False
        """Whether other nodes appended between our events."""
        self._is_failing = False
        """Whether the last append failed and none has succeeded, or was rehearsed, since."""
        self._is_shared = event_store.is_shared

    @property
    def waiting_count(self) -> int:
        """How many calls wait for the writer, approximately."""
        return self._waiting.qsize()

    def start(self) -> None:
        """Start the writer's thread."""
        self._thread.start()

    def submit(self, commands: Sequence[Command[Any]]) -> Future[list[Any]]:
        """Queue commands. The future gives, for each, its answer or the error it raised, once that
        is durable. Each command is appended whole or not at all.

        Raises Overloaded when too many wait already, Unavailable when the ledger is closing.
        """
        item = _Item(commands, Future(), self._clock.elapsed(), self._instrumentation.caller())
        with self._entrance:
            if self._is_closed:
                raise Unavailable("The ledger is closing: try again once it is open.")
            try:
                self._waiting.put_nowait(item)
            except queue.Full:
                raise Overloaded(self._waiting.qsize()) from None
        return item.future

    def close(self) -> None:
        """Answer what waits, save the snapshots, end the thread."""
        with self._entrance:
            if self._is_closed:
                return
            self._is_closed = True
        self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join()
        self._snapshots.save_all()

    # -- the loop -------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            items, is_last = self._take()
            if items:
                self.process(items)
            if is_last:
                return

    def _take(self) -> tuple[list[_Item], bool]:
        items: list[_Item] = []
        total = 0
        item = self._waiting.get()
        while item is not None:
            items.append(item)
            total += len(item.commands)
            if total >= MAX_BATCH:
                return items, False
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return items, False
        return items, True

    def process(self, items: Sequence[_Item]) -> None:
        """Decide, append and answer one batch. Commands whose caller has cancelled are dropped."""
        items = [item for item in items if item.future.set_running_or_notify_cancel()]
        began_at = self._clock.elapsed()
        decided = self._commit([command for item in items for command in item.commands])
        self._retry_conflicts(decided)
        answers = iter(decided)
        for item in items:
            item.future.set_result([next(answers).answer for _ in item.commands])
        self._report_batch(items, began_at)
        if self._is_behind:
            self._commit(())  # reads what other nodes appended in between
        self.streams.trim()
        self._snapshots.save_some()

    def _report_batch(self, items: Sequence[_Item], began_at: float) -> None:
        now = self._clock.elapsed()
        asked = [item for item in items if item.commands]
        if asked:
            count = sum(len(item.commands) for item in asked)
            waited = [now - item.submitted_at for item in asked]
            callers = [item.caller for item in asked]
            self._instrumentation.batch_answered(
                CommandBatch(count, waited, now - began_at, callers)
            )

    def _retry_conflicts(self, decided: list[Decision]) -> None:
        """Decide again the commands that needed this batch to be committed first, and those whose
        streams another node changed.
        """
        for _ in range(MAX_CONFLICTS):
            early = [
                at for at, item in enumerate(decided) if isinstance(item.error, RetryAfterCommit)
            ]
            if not early:
                return
            again = self._commit([decided[at].command for at in early])
            for at, item in zip(early, again, strict=True):
                decided[at] = item
        for item in decided:
            if isinstance(item.error, RetryAfterCommit):
                item.error = Unavailable("Other nodes keep changing the same job: try again.")

    # -- one batch ------------------------------------------------------------------------------

    def _commit(self, commands: Sequence[Command[Any]]) -> list[Decision]:
        """Decide and append; commands of a batch that cannot be appended are answered with the
        reason. A batch is decided again only when it is certain that nothing of it was committed.
        """
        trouble: Exception | None = None
        for _ in range(MAX_TRIES):
            try:
                return self._commit_once(commands)
            except _NotCommitted as error:
                trouble = error
                self.unit.roll_back()
            except Exception as error:  # noqa: BLE001  callers are always answered
                trouble = error
                self.unit.roll_back()
                self._is_unsure = True
                break
        return [Decision(command, error=trouble) for command in commands]

    def _commit_once(self, commands: Sequence[Command[Any]]) -> list[Decision]:
        self._refresh()
        decided = decide_all(self.unit, commands)
        outcomes = self._append([item.batch for item in decided])
        self._apply(decided, outcomes)
        self.unit.commit()
        return decided

    def _refresh(self) -> None:
        """Read what the store holds beyond the job cache: after an append without an answer, and
        where other nodes append too.
        """
        if self._is_unsure or self._is_behind or self._is_shared:
            self._advance(self.streams.catch_up(self.position))
            self._is_behind = False
        if self._is_unsure:
            self.job_cache.runs.load_leases(self.event_store)
            self._is_unsure = False
        elif self._is_shared:
            self.job_cache.runs.follow_leases(self.event_store)

    def _append(self, batches: Sequence[EventBatch]) -> list[AppendOutcome]:
        """The outcomes; raises a LedgerError when nothing was committed, or when that is
        unknown.
        """
        wanted = [batch for batch in batches if not batch.is_empty]
        if not wanted:
            if batches and self._is_failing:
                self.event_store.rehearse()
                self._is_failing = False
            return [Committed(()) for _ in batches]
        self._is_failing = True
        now = round(self._clock.now().timestamp() * 1_000_000)
        try:
            outcomes = self.event_store.append(wanted, self._mapper, now=now)
        except AppendUnknown as unknown:
            outcomes = self._look_up(wanted, unknown)
        self._is_failing = False
        given = iter(outcomes)
        return [Committed(()) if batch.is_empty else next(given) for batch in batches]

    def _look_up(
        self, batches: Sequence[EventBatch], unknown: AppendUnknown
    ) -> list[AppendOutcome]:
        """After an append without an answer: does the store have its first event, and is it ours?
        Either all batches without a conflict were committed, or none. Raises OutcomeUnknown while
        the store cannot be read.
        """
        try:
            outcomes = unknown.outcomes or self._outcomes_at_the_end(batches)
            pairs = zip(batches, outcomes, strict=True)
            fitting = [batch for batch, outcome in pairs if isinstance(outcome, Committed)]
            first = next((event for batch in fitting for event in batch.events), None)
            state = self.event_store.command_at(first.stream, first.version) if first else None
        except LedgerError as error:
            raise OutcomeUnknown(f"{unknown}; {error.message}") from error
        if not (first and state and orjson.loads(state)["command_id"] == first.event.command_id):
            raise _NotCommitted(str(unknown))
        return outcomes

    def _outcomes_at_the_end(self, batches: Sequence[EventBatch]) -> list[AppendOutcome]:
        """The outcomes of the batches if their events are the last of the store."""
        last = self.event_store.tail_position() - sum(len(batch.events) for batch in batches)
        return outcomes_of(batches, [None] * len(batches), last)

    def _apply(self, decided: Sequence[Decision], outcomes: Sequence[AppendOutcome]) -> None:
        last, count = self.position, 0
        for item, outcome in zip(decided, outcomes, strict=True):
            if isinstance(outcome, VersionConflict):
                item.error = ConcurrencyConflict()
                self.streams.forget({event.stream for event in item.batch.events})
                continue
            self.streams.apply_committed(item.batch, item.changed, outcome.positions)
            last = max((last, *outcome.positions))
            count += len(outcome.positions)
        if any(isinstance(item.error, ConcurrencyConflict) for item in decided):
            _invalidate_reads(decided)
        for item, outcome in zip(decided, outcomes, strict=True):
            if isinstance(outcome, Committed) and isinstance(item.result, PositionedResult):
                item.result.position = outcome.positions[-1] if outcome.positions else last
        if last == self.position + count:
            self._advance(last)
        else:
            self._is_behind = True

    def _advance(self, position: int) -> None:
        """The job cache has reached a position: wake the dispatcher, call the listeners."""
        if position == self.position:
            return
        self._snapshots.count(position - self.position)
        self.position = self.job_cache.position = position
        self.job_cache.due.notify()
        for listener in self.listeners:
            try:
                listener(position)
            except Exception:  # what is committed stands, whatever a listener does
                log.exception("a commit listener failed")


def _invalidate_reads(decided: Sequence[Decision]) -> None:
    """Answers without events may depend on what a command in conflict had decided before them."""
    for item in decided:
        if item.batch.is_empty:
            item.error = ConcurrencyConflict()

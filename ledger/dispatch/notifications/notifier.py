"""Notifies people: results of runs go where their jobs say; tripped breakers, storms and recoveries
that aborted by themselves go to the notice channels.

It reads committed events only, so a notice is never sent for something that did not happen, and
records the outcome of each message. Its checkpoint is saved in the same append as that outcome:
every result and every trip is handled once, and after a crash in between one message may be sent
again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from uuid import UUID

from ledger.application.commands.command import Command
from ledger.application.commands.deliveries import RecordDelivery, RecordNotice, SaveCheckpoint
from ledger.application.ledger import Ledger
from ledger.background_loop import BackgroundLoop
from ledger.dispatch.notifications.channels import ChannelAddress
from ledger.dispatch.notifications.recovery_notices import RecoveryNotices
from ledger.dispatch.notifications.sender import Message, Receipt, Sender, notice_of
from ledger.dispatch.notifications.storm_notices import StormNotices
from ledger.dispatch.notifications.storm_source import NoStormSource, StormSource
from ledger.domain.job.job import Job
from ledger.domain.job.lifecycle import Delivery
from ledger.errors import LedgerError
from ledger.plurals import counted
from ledger.store.audit_query import AuditQuery
from ledger.store.instrumentation import DeliverySent
from ledger.store.records import RecordedEvent

READER = "notifier"
TRIPPED, ABORTED = "job.circuit_tripped", "recovery.aborted"
TOPICS = ("job.run_succeeded", TRIPPED, ABORTED)
PAGE = 100
"""Events that are read together."""
PAUSE_SECONDS = 0.1
"""The pause between two polls, so that a busy ledger is not read after every commit."""
RETRY_SECONDS = 5.0
SILENT_SECONDS = 120
"""How long a message may be under way before another node takes over and sends it again."""
LOCK_CHECK_SECONDS = 2.0
"""How often the leader lock is acquired or checked when nothing happens."""
SAVE_EVERY = 10_000
"""Events after which the checkpoint is saved even if there was nothing to send."""

log = logging.getLogger(__name__)


class Notifier:
    """One per node; the leader works, the others stand by. `run_once` handles new events; `start`
    does so from now on.
    """

    def __init__(self, ledger: Ledger, sender: Sender, storms: StormSource | None = None) -> None:
        self._ledger = ledger
        self._instrumentation = ledger.instrumentation
        self._sender = sender
        self._recoveries = RecoveryNotices(ledger, sender)
        self._storms = StormNotices(ledger, sender, storms or NoStormSource())
        self._loop = BackgroundLoop("notifier", self._step, retry_seconds=RETRY_SECONDS)
        self._leader_lock = ledger.event_store.leader_lock(READER, silent_seconds=SILENT_SECONDS)
        self._position = -1
        self._saved_position = -1
        self._unrecorded: list[Command[object]] = []

    def start(self) -> None:
        """Continue where the last process stopped; the first one begins at the end of the event
        store.
        """
        if self._leader_lock.is_held():
            self._begin()
        self._ledger.writer.listeners.append(self._loop.wake)
        self._loop.start()

    def close(self) -> None:
        """Stop after the message under way, and save the checkpoint."""
        self._loop.close()
        has_unsaved = bool(self._unrecorded) or self._position != self._saved_position
        if self._loop.was_started and has_unsaved and self._leader_lock.is_held():
            self._record_at_close()
        self._leader_lock.close()

    def run_once(self) -> int:
        """Handle one page of committed events; returns how many outcomes were recorded. None while
        another node does it.
        """
        if not self._leader_lock.is_held():
            self._stand_by()
            return 0
        self._begin()
        if self._unrecorded:
            self._record(self._unrecorded)
        end = self._ledger.writer.position
        events = self._found(end)
        count = 0
        for event in events:
            recorded = self._handle(event)
            if recorded is None:
                return count
            count += recorded
        if len(events) < PAGE:
            self._position = end
            count += self._notify_of_storms()
        if self._position - self._saved_position >= SAVE_EVERY:
            self._record([])
        return count

    def _handle(self, event: RecordedEvent) -> int | None:
        """How many outcomes of one event were recorded; None when this node is to stop. The next
        leader begins at the checkpoint, and sends again what was not recorded.
        """
        if self._loop.is_closing or not self._leader_lock.is_held():
            return None
        commands = self._commands_for(event)
        self._position = event.position
        if commands and not self._leader_lock.is_held():
            self._stand_by()
            return None
        if commands:
            self._record(commands)
        return len(commands)

    def _notify_of_storms(self) -> int:
        """How many notices of storms were recorded."""
        try:
            commands = list(self._storms.notify(self._ledger.dispatcher_context()))
        except LedgerError:
            raise
        except Exception:  # a failing storm notice must not stop all others
            log.exception("storm notifications failed; retrying")
            return 0
        if commands:
            self._record(commands)
        return len(commands)

    # -- the thread -----------------------------------------------------------------------------

    def _step(self) -> float:
        while self.run_once() and not self._loop.is_closing:
            pass
        self._loop.pause(PAUSE_SECONDS)
        return LOCK_CHECK_SECONDS

    def _begin(self) -> None:
        if self._position >= 0:
            return
        checkpoint = self._ledger.event_store.checkpoint(READER)
        self._position = self._ledger.writer.position if checkpoint is None else checkpoint
        self._saved_position = self._position
        if checkpoint is None:
            self._record([])

    def _stand_by(self) -> None:
        """Another node continues from the checkpoint: the cached one is out of date."""
        self._position = self._saved_position = -1
        self._unrecorded = []

    def _record(self, commands: list[Command[object]]) -> None:
        """A failure to record a sent message must not send it again: recording is retried."""
        self._unrecorded = commands
        results = self._ledger.submit([*commands, SaveCheckpoint(READER, self._position)]).result()
        problem = next((result for result in results if isinstance(result, LedgerError)), None)
        if problem is not None:
            raise problem
        self._unrecorded, self._saved_position = [], self._position

    def _record_at_close(self) -> None:
        try:
            self._record(self._unrecorded)
        except LedgerError as error:
            log.error("the last delivery could not be recorded; retrying: %s", error.message)

    def _found(self, end: int) -> list[RecordedEvent]:
        query = AuditQuery(
            topics=TOPICS, after_position=self._position, until_position=end, limit=PAGE
        )
        return self._ledger.mapper.to_recorded_events(self._ledger.event_store.find(query))

    # -- one event ------------------------------------------------------------------------------

    def _commands_for(self, event: RecordedEvent) -> list[Command[object]]:
        try:
            return list(self._notify(event))
        except Exception:  # a message that cannot be built must not stop all others
            log.exception(
                "the notification of the event at position %s failed; it is skipped", event.position
            )
            return []

    def _notify(self, event: RecordedEvent) -> Iterator[Command[object]]:
        if event.topic == TRIPPED:
            yield from self._notify_of_trip(event)
        elif event.topic == ABORTED:
            yield from self._recoveries.notify(event, self._ledger.dispatcher_context())
        elif event.data["output"]:
            yield from self._deliver(event)

    def _deliver(self, event: RecordedEvent) -> Iterator[Command[object]]:
        job = self._job(event)
        if job.delivery is None:
            return
        address = ChannelAddress(job.delivery["channel"], job.delivery["target"])
        message = Message(job.name, event.data["output"])
        run_id = event.data["run_id"]
        began_at = self._ledger.clock.elapsed()
        receipt = self._sender.send(address, message)
        seconds = self._ledger.clock.elapsed() - began_at
        self._instrumentation.delivered(
            DeliverySent(job.id, run_id, address.channel, receipt.is_sent, seconds)
        )
        delivery = Delivery(
            run_id, address.channel, address.target, receipt.is_sent, receipt.outcome
        )
        yield RecordDelivery(event.stream, delivery, self._ledger.dispatcher_context())
        if not receipt.is_sent:
            lost = Message(f"{job.name}: not delivered to {address}", f"{receipt.outcome}")
            yield from self._fall_back(event, address, lost)

    def _notify_of_trip(self, event: RecordedEvent) -> Iterator[Command[object]]:
        address = self._sender.settings.notices
        job = self._job(event)
        if address is None or job.trip_version != event.version:
            return  # no job, or a failed probe: it has been failed since an earlier trip
        if self._storms.covers(job.id, event.version, event.position):
            return
        message = _of_trip(job, event)
        receipt = self._sender.send(address, message)
        yield self._notice("trip", event, address, receipt)
        if not receipt.is_sent:
            yield from self._fall_back(event, address, message, kind="trip")

    def _fall_back(
        self,
        event: RecordedEvent,
        tried: ChannelAddress,
        message: Message,
        *,
        kind: str = "delivery_failed",
    ) -> Iterator[Command[object]]:
        """A broken channel cannot report itself: the fallback is notified."""
        fallback = self._sender.settings.fallback
        if fallback is not None and fallback != tried:
            yield self._notice(kind, event, fallback, self._sender.send(fallback, message))

    def _notice(
        self, kind: str, event: RecordedEvent, address: ChannelAddress, receipt: Receipt
    ) -> Command[object]:
        notice = notice_of(
            kind,
            address,
            receipt,
            job_id=str(event.stream),
            first_position=event.data.get("first_error_position") or event.position,
            last_position=event.position,
        )
        return RecordNotice(notice, self._ledger.dispatcher_context())

    def _job(self, event: RecordedEvent) -> Job:
        """The job as it was at the event: a later edit does not redirect earlier results."""
        cached = self._ledger.job_cache.jobs.get(event.stream)
        is_same = cached is not None and cached.revision <= event.version
        return (
            cached if cached is not None and is_same else self._folded(event.stream, event.version)
        )

    def _folded(self, job_id: UUID, version: int) -> Job:
        return self._ledger.fold(job_id, upto=version)


def _of_trip(job: Job, event: RecordedEvent) -> Message:
    data = event.data
    first = data["first_error_position"] or event.position
    return Message(
        f"{job.name} failed: {counted(data['consecutive_errors'], 'error')} in a row "
        f"({data['failure_class']})",
        f"{data['last_error'] or ''}\n"
        "It stays failed until it is resumed with force, once the cause is fixed:\n"
        f'jobledger resume {job.id} --force --reason "…"\n'
        f"Proof: events {first} to {event.position} of the ledger.",
    )

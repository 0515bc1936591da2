"""Notifies people of storms: once when one has opened, once when it is over, instead of for each
job whose breaker it trips.

Read models detect storms; this module only queries them. A storm also ends by silence, so it is
polled even when nothing happens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands.command import Command
from ledger.application.commands.deliveries import RecordNotice, SaveCheckpoint
from ledger.application.commands.recoveries import PreviewRecovery
from ledger.application.ledger import Ledger
from ledger.dispatch.notifications.channels import ChannelAddress
from ledger.dispatch.notifications.sender import Message, Sender, notice_of
from ledger.dispatch.notifications.storm_source import StormNotice, StormSource
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.selection import JobNotSelected
from ledger.domain.streams.notices import notice_stream
from ledger.errors import LedgerError, Refused

READER = "storms"
OPENED = "storm_opened"
OVER = "storm_over"
POLL_SECONDS = 5.0
"""How often storms are polled, at most."""
NAMED_JOBS = 10
"""The most jobs that a message names."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StormRemainder:
    """What a storm left: how many of its jobs are still failed, how many of them a recovery would
    resume, and with which codes it would refuse the others.
    """

    failed_count: int
    resumable_count: int
    codes: Sequence[str]


class StormNotices:
    """The notices of storms; only the leader among the nodes sends them."""

    def __init__(self, ledger: Ledger, sender: Sender, storms: StormSource) -> None:
        self._ledger = ledger
        self._sender = sender
        self._storms = storms
        self._began: int | None = None
        self._next_poll = 0.0
        self._sent: set[tuple[str, str]] = set()

    def covers(self, job_id: UUID, version: int, position: int) -> bool:
        """Whether the trip at a version of a job, right after the failure that caused it, is
        reported with its storm. When that cannot be determined now, it is reported by itself: twice
        is better than not at all.
        """
        try:
            return self._storms.has_failure(job_id, version - 1, position=position)
        except LedgerError as problem:
            log.warning(
                "the storm of a trip could not be determined; the trip is reported alone: %s",
                problem.message,
            )
            return False

    def notify(self, context: CommandContext) -> Iterator[Command[object]]:
        """Send the notices that are due; yields what to record of them."""
        address = self._sender.settings.notices
        elapsed = self._ledger.clock.elapsed()
        if address is None or elapsed < self._next_poll:
            return
        self._next_poll = elapsed + POLL_SECONDS
        storms = self._recent(self._beginning(), context.now)
        self._sent &= {(kind, storm.id) for storm in storms for kind in (OPENED, OVER)}
        for storm in storms:
            yield from self._notify_of(storm, OVER if storm.is_final else OPENED, address, context)

    def _beginning(self) -> int:
        """The end of the event store when storms were first reported: older ones never are."""
        if self._began is None:
            self._began = self._ledger.event_store.checkpoint(READER)
        if self._began is None:
            began = self._ledger.writer.position
            self._ledger.execute(SaveCheckpoint(READER, began))
            self._began = began
        return self._began

    def _recent(self, began: int, now: datetime) -> Sequence[StormNotice]:
        try:
            return self._storms.recent(after=began, now=now)
        except LedgerError as problem:
            log.warning("storm notifications are not possible now: %s", problem.message)
            return ()

    def _notify_of(
        self, storm: StormNotice, kind: str, address: ChannelAddress, context: CommandContext
    ) -> Iterator[Command[object]]:
        message = None if self._was_sent(storm, kind, address) else self._message(storm, kind)
        if message is None:
            return
        for target, receipt in self._sender.notify(message):
            self._sent.add((kind, storm.id))
            notice = notice_of(
                kind,
                target,
                receipt,
                storm_id=storm.id,
                first_position=storm.first_position,
                last_position=storm.last_position,
            )
            yield RecordNotice(notice, context)

    def _message(self, storm: StormNotice, kind: str) -> Message | None:
        """The message; None when it cannot be built now: it is tried again at the next poll."""
        if kind == OPENED:
            return _of_opening(storm)
        try:
            return _of_end(storm, self._remainder_of(storm))
        except LedgerError as problem:
            log.warning("the end of %s cannot be reported now: %s", storm.id, problem.message)
            return None

    def _remainder_of(self, storm: StormNotice) -> StormRemainder | None:
        """Decided on the jobs themselves, as a recovery would; None for more than one recovery
        takes.
        """
        members, context = self._storms.members(storm.id), self._ledger.context()
        try:
            plan = self._ledger.execute(PreviewRecovery(members, Terms(), context))
        except Refused:
            return None
        stay = [one.code for one in plan.refused if one.code != JobNotSelected.code]
        return StormRemainder(len(plan.jobs) + len(stay), len(plan.jobs), sorted(set(stay)))

    def _was_sent(self, storm: StormNotice, kind: str, address: ChannelAddress) -> bool:
        """Whether it was sent before, by this or an earlier leader."""
        if (kind, storm.id) in self._sent:
            return True
        stream = notice_stream(kind, storm.id, address.channel)
        if self._ledger.event_store.command_at(stream, 1) is None:
            return False
        self._sent.add((kind, storm.id))
        return True


def _of_opening(storm: StormNotice) -> Message:
    return Message(
        f"Storm {storm.id}: {len(storm.job_names)} jobs fail of one cause ({storm.failure_class})",
        f"{storm.signature}\n"
        f"{_names(storm)}\n"
        "Trips of its jobs are not reported one by one; the end of the storm is.\n"
        f"{_show_command(storm)}\n"
        f"{_proof(storm)}",
    )


def _of_end(storm: StormNotice, remainder: StormRemainder | None) -> Message:
    minutes = (storm.last_failed_at - storm.first_failed_at).total_seconds() / 60
    return Message(
        f"Storm {storm.id} is over{_failed(storm, remainder)}",
        f"{storm.signature}\n"
        f"{storm.failure_count} failures in {minutes:.0f} minutes, {storm.trip_count} breakers "
        "tripped.\n"
        f"{_names(storm)}\n"
        f"{_next_step(storm, remainder)}\n"
        f"{_proof(storm)}",
    )


def _failed(storm: StormNotice, remainder: StormRemainder | None) -> str:
    if remainder is None:
        return ""
    return (
        f": {remainder.failed_count} of {len(storm.job_names)} jobs are still failed because of it"
    )


def _next_step(storm: StormNotice, remainder: StormRemainder | None) -> str:
    if remainder is not None and remainder.resumable_count:
        target = (
            "them"
            if remainder.resumable_count == remainder.failed_count
            else f"{remainder.resumable_count}"
        )
        return f"Resume {target} one after the other: jobledger storm resume {storm.id} --dry-run"
    if remainder is not None and remainder.failed_count:
        codes = ", ".join(remainder.codes)
        return f"A recovery would resume none of them now ({codes}).\n{_show_command(storm)}"
    return _show_command(storm)


def _show_command(storm: StormNotice) -> str:
    return f"jobledger storm show {storm.id}"


def _names(storm: StormNotice) -> str:
    named = ", ".join(storm.job_names[:NAMED_JOBS])
    more = len(storm.job_names) - NAMED_JOBS
    return f"{named} and {more} more" if more > 0 else named


def _proof(storm: StormNotice) -> str:
    return f"Proof: events {storm.first_position} to {storm.last_position} of the ledger."

"""Tells people of storms: once when one has opened, once when it is over, and not of each job whose
breaker it trips.

What a storm is stands above the ledger, in the copies; here it is only asked. A storm ends by
silence too, so it is looked at from time to time though nothing happens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from ledger.dispatch.channels import Address
from ledger.dispatch.sending import Message, Receipt, Sender
from ledger.domain.notices import Told, notice_stream
from ledger.errors import LedgerError
from ledger.store.application import Ledger
from ledger.store.commands import Call
from ledger.store.deciding import Command
from ledger.store.delivery_commands import keep_mark, keep_notice

READER = "storms"
OPENED = "storm_opened"
OVER = "storm_over"
LOOK_SECONDS = 5.0
"""How often storms are looked at, at most."""
NAMED_JOBS = 10
"""Jobs that a message names."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SeenStorm:
    """A storm as it is now. `is_final`: it is over and cannot come back under its id. Positions are
    those of its first failure and of its last.
    """

    id: str
    signature: str
    failure_class: str
    first_failed_at: datetime
    last_failed_at: datetime
    first_position: int
    last_position: int
    is_final: bool
    failure_count: int
    trip_count: int
    job_names: Sequence[str]
    failed_count: int
    """Jobs of it that are failed now."""


class KnownStorms(Protocol):
    """What is to be known of storms; raises LedgerError where that cannot be told now."""

    def recent(self, *, after: int, now: datetime) -> Sequence[SeenStorm]:
        """The storms of the last days that opened after a position, oldest first."""
        ...

    def has_taken(self, job_id: UUID, version: int, *, position: int) -> bool:
        """Whether the failure at a version of a job is a storm's, as of a position of the book."""
        ...


class NoStorms:
    """Where nobody keeps an eye on storms: then every trip is told by itself."""

    def recent(self, *, after: int, now: datetime) -> Sequence[SeenStorm]:  # noqa: ARG002  see above
        return ()

    def has_taken(self, job_id: UUID, version: int, *, position: int) -> bool:  # noqa: ARG002
        return False


class StormNotices:
    """The storms' share of a courier's work: it must hold the courier's office."""

    def __init__(self, ledger: Ledger, sender: Sender, storms: KnownStorms) -> None:
        self._ledger = ledger
        self._sender = sender
        self._storms = storms
        self._began: int | None = None
        self._next_look = 0.0
        self._is_told: set[tuple[str, str]] = set()

    def covers(self, job_id: UUID, version: int, position: int) -> bool:
        """Whether the trip at a version of a job, right after the failure that made it, is told
        with its storm. When that cannot be known now, it is told by itself: better twice than not
        at all.
        """
        try:
            return self._storms.has_taken(job_id, version - 1, position=position)
        except LedgerError as problem:
            log.warning("a trip is told without asking for its storm: %s", problem.message)
            return False

    def news(self, call: Call) -> Iterator[Command[object]]:
        """Tell what is to be told now; yields what to record of it."""
        address = self._sender.settings.notices
        elapsed = self._ledger.clock.elapsed()
        if address is None or elapsed < self._next_look:
            return
        self._next_look = elapsed + LOOK_SECONDS
        seen = self._seen(self._beginning(), call.now)
        self._is_told &= {(kind, storm.id) for storm in seen for kind in MESSAGES}
        for storm in seen:
            yield from self._tell(storm, OVER if storm.is_final else OPENED, address, call)

    def _beginning(self) -> int:
        """Where the book stood when storms were first told of: nobody is told of older ones."""
        if self._began is None:
            self._began = self._ledger.book.mark(READER)
        if self._began is None:
            began = self._ledger.writer.position
            self._ledger.ask(keep_mark(READER, began))
            self._began = began
        return self._began

    def _seen(self, began: int, now: datetime) -> Sequence[SeenStorm]:
        try:
            return self._storms.recent(after=began, now=now)
        except LedgerError as problem:
            log.warning("storms cannot be told of now: %s", problem.message)
            return ()

    def _tell(
        self, storm: SeenStorm, kind: str, address: Address, call: Call
    ) -> Iterator[Command[object]]:
        if self._has_told(storm, kind, address):
            return
        message = MESSAGES[kind](storm)
        receipt = self._sender.send(address, message)
        self._is_told.add((kind, storm.id))
        yield keep_notice(_told(storm, kind, address, receipt), call)
        fallback = self._sender.settings.fallback
        if not receipt.is_sent and fallback is not None and fallback != address:
            receipt = self._sender.send(fallback, message)
            yield keep_notice(_told(storm, kind, fallback, receipt), call)

    def _has_told(self, storm: SeenStorm, kind: str, address: Address) -> bool:
        """Whether that was done before, here or by whoever held the office then."""
        if (kind, storm.id) in self._is_told:
            return True
        stream = notice_stream(kind, storm.id, address.channel)
        if self._ledger.book.command_at(stream, 1) is None:
            return False
        self._is_told.add((kind, storm.id))
        return True


def _told(storm: SeenStorm, kind: str, address: Address, receipt: Receipt) -> Told:
    return Told(
        kind=kind,
        job_id=None,
        storm_id=storm.id,
        channel=address.channel,
        target=address.target,
        first_position=storm.first_position,
        last_position=storm.last_position,
        is_sent=receipt.is_sent,
        outcome=receipt.outcome,
    )


def _of_opening(storm: SeenStorm) -> Message:
    return Message(
        f"Storm {storm.id}: {len(storm.job_names)} jobs fail of one thing ({storm.failure_class})",
        f"{storm.signature}\n"
        f"{_names(storm)}\n"
        "Breakers that trip of it are not told one by one; its end is.\n"
        f"jobledger storm show {storm.id}\n"
        f"{_proof(storm)}",
    )


def _of_end(storm: SeenStorm) -> Message:
    minutes = (storm.last_failed_at - storm.first_failed_at).total_seconds() / 60
    return Message(
        f"Storm {storm.id} is over: {storm.failed_count} of {len(storm.job_names)} jobs are failed",
        f"{storm.signature}\n"
        f"{storm.failure_count} failures in {minutes:.0f} minutes, {storm.trip_count} breakers "
        "tripped.\n"
        f"{_names(storm)}\n"
        f"{_way_on(storm)}\n"
        f"{_proof(storm)}",
    )


def _way_on(storm: SeenStorm) -> str:
    if storm.failed_count:
        return f"Bring them back, one after the other: jobledger storm resume {storm.id} --dry-run"
    return f"jobledger storm show {storm.id}"


def _names(storm: SeenStorm) -> str:
    named = ", ".join(storm.job_names[:NAMED_JOBS])
    more = len(storm.job_names) - NAMED_JOBS
    return f"{named} and {more} more" if more > 0 else named


def _proof(storm: SeenStorm) -> str:
    return f"Proof: events {storm.first_position} to {storm.last_position} of the ledger."


MESSAGES = {OPENED: _of_opening, OVER: _of_end}

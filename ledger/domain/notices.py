"""Notices: what people were told of by the ledger itself, with the events that prove it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from ledger.domain.aggregate import Stream
from ledger.domain.events import Event
from ledger.domain.origin import Origin

NOTICES = UUID("0a4c2f5e-13c8-5a77-8f4b-27b3f9f7d003")
"""The namespace of notice streams."""


class NoticeSent(Event):
    TOPIC = "notice.sent"

    kind: str
    job_id: str
    channel: str
    target: str | None
    first_position: int
    last_position: int
    outcome: str


class NoticeFailed(Event):
    TOPIC = "notice.failed"

    kind: str
    job_id: str
    channel: str
    target: str | None
    first_position: int
    last_position: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Told:
    """One notice: of what kind (trip, delivery_failed), about which job and which events, where it
    went, and how.
    """

    kind: str
    job_id: str
    channel: str
    target: str | None
    first_position: int
    last_position: int
    is_sent: bool
    outcome: str

    @property
    def stream(self) -> UUID:
        """One stream for each thing told and channel, so that it is recorded once."""
        return uuid5(NOTICES, f"{self.kind}/{self.last_position}/{self.channel}")


class Notice(Stream):
    """One notice's life: sent, or not."""

    def begin(self) -> None:
        self.is_recorded = False

    def record_told(self, told: Told, *, now: datetime, by: Origin) -> bool:
        """Record how it went; False when that was recorded before."""
        if self.is_recorded:
            return False
        self.record(
            NoticeSent if told.is_sent else NoticeFailed,
            now,
            by,
            kind=told.kind,
            job_id=told.job_id,
            channel=told.channel,
            target=told.target,
            first_position=told.first_position,
            last_position=told.last_position,
            outcome=told.outcome,
        )
        return True

    def evolve(self, _: Event) -> None:
        self.is_recorded = True

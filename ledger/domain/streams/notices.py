"""Notices: what the ledger sent to people by itself, with the events that prove it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar
from uuid import UUID, uuid5

from ledger.domain.aggregate import Stream
from ledger.domain.event_context import EventContext
from ledger.domain.events import Event

NOTICES = UUID("0a4c2f5e-13c8-5a77-8f4b-27b3f9f7d003")
"""The namespace of notice streams."""


class _NoticeEvent(Event):
    """What both outcomes of a notice record."""

    class_version: ClassVar[int] = 2

    kind: str
    job_id: str | None
    storm_id: str | None
    channel: str
    target: str | None
    first_position: int
    last_position: int
    outcome: str

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        """Version 2 added notices of storms."""
        state["storm_id"] = None


class NoticeSent(_NoticeEvent):
    TOPIC = "notice.sent"


class NoticeFailed(_NoticeEvent):
    TOPIC = "notice.failed"


@dataclass(frozen=True, slots=True)
class NoticeOutcome:
    """One notice: of what kind (trip, delivery_failed, storm_opened, storm_over, recovery_aborted),
    about which job or storm and which events, where it was sent, and the outcome.
    """

    kind: str
    channel: str
    target: str | None
    first_position: int
    last_position: int
    is_sent: bool
    outcome: str
    job_id: str | None = None
    storm_id: str | None = None

    @property
    def stream(self) -> UUID:
        """The stream that records it."""
        return notice_stream(self.kind, self.storm_id or self.last_position, self.channel)


def notice_stream(kind: str, about: str | int, channel: str) -> UUID:
    """One stream for each subject (a storm, or the event at a position) and channel, so that it is
    recorded once.
    """
    return uuid5(NOTICES, f"{kind}/{about}/{channel}")


class Notice(Stream):
    """One notice: sent, or failed."""

    def begin(self) -> None:
        self.is_recorded = False

    def record_outcome(self, notice: NoticeOutcome, context: EventContext) -> bool:
        """Record the outcome; False when it was recorded before."""
        if self.is_recorded:
            return False
        fields = asdict(notice)
        self.record(NoticeSent if fields.pop("is_sent") else NoticeFailed, context, **fields)
        return True

    def evolve(self, _: Event) -> None:
        self.is_recorded = True

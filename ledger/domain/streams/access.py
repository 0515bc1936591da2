"""Refused changes in the audit: who tried what without permission."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID, uuid5

from ledger.domain.aggregate import Stream
from ledger.domain.event_context import EventContext
from ledger.domain.events import Event

ATTEMPTS = UUID("0a4c2f5e-13c8-5a77-8f4b-27b3f9f7d004")
"""The namespace of these streams; each token has one."""


class AccessRefused(Event):
    TOPIC = "access.refused"

    token_id: str
    role: str
    method: str
    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One refused change: with which token, of which role, what it requested, and why it was
    refused.
    """

    token_id: str
    role: str
    method: str
    path: str
    detail: str


def access_stream(token_id: str) -> UUID:
    """The stream of the refusals of one token."""
    return uuid5(ATTEMPTS, token_id)


class Access(Stream):
    """The refusals of one token."""

    def begin(self) -> None:
        self.count = 0

    def refuse(self, attempt: Attempt, context: EventContext) -> None:
        """Record one attempt."""
        self.record(AccessRefused, context, **asdict(attempt))

    def evolve(self, _: Event) -> None:
        self.count += 1

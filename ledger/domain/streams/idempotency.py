"""Idempotency keys: the answer to a request that appended, so that a repeated request gets the same
answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from ledger.domain.aggregate import Stream
from ledger.domain.event_context import EventContext
from ledger.domain.events import Event, PositionOf
from ledger.errors import IdempotencyMismatch

REQUESTS = UUID("0a4c2f5e-13c8-5a77-8f4b-27b3f9f7d002")
"""The namespace of request streams."""


class RequestAnswered(Event):
    TOPIC = "request.answered"
    POSITIONS = ("positions",)

    fingerprint: str
    status: int
    job_id: str
    version: int
    positions: list[int | PositionOf]


def request_stream(actor_id: str, method: str, path: str, key: str) -> UUID:
    """The stream of one idempotency key, scoped to its actor, method and path."""
    return uuid5(REQUESTS, "\x00".join((actor_id, method, path, key)))


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer to remember: to which body, with which HTTP status, about which job at which
    version.
    """

    fingerprint: str
    status: int
    job_id: UUID
    job_version: int
    appended_versions: tuple[int, ...]


class IdempotencyKey(Stream):
    """The answer of an idempotency key, if it was used."""

    def begin(self) -> None:
        self.answered: RequestAnswered | None = None

    def require_same(self, key: str, fingerprint: str) -> None:
        """Refuse IdempotencyMismatch when the key was answered for another body."""
        if self.answered is not None and self.answered.fingerprint != fingerprint:
            raise IdempotencyMismatch(key)

    def answer(self, answered: Answered, context: EventContext) -> None:
        """Record the answer, in the append of the command it answers."""
        positions = [PositionOf(answered.job_id, version) for version in answered.appended_versions]
        self.record(
            RequestAnswered,
            context,
            fingerprint=answered.fingerprint,
            status=answered.status,
            job_id=str(answered.job_id),
            version=answered.job_version,
            positions=positions,
        )

    def evolve(self, event: Event) -> None:
        if isinstance(event, RequestAnswered):
            self.answered = event

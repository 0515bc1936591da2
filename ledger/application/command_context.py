"""The context of a command: when, by whom, from which revision, under which idempotency key."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ledger.domain.event_context import EventContext


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A key under which a command is answered once: its stream, and the SHA-256 of the body."""

    key: str
    stream: UUID
    fingerprint: str


@dataclass(frozen=True, slots=True)
class CommandContext(EventContext):
    """The context of the command's events. With `revision` the command is refused (StaleRevision)
    when the job was changed since.
    """

    revision: int | None = None
    idempotency: Idempotency | None = None

"""When a change was asked for, by whom, through which surface, and why: carried by every event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

ACTOR_KINDS = ("user", "agent", "worker", "system")
SOURCES = ("http", "ui", "cli", "mcp", "dispatcher", "import", "library")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: an `id` (a token's name, a node) and a `kind` out of ACTOR_KINDS."""

    id: str
    kind: str

    def plain(self) -> dict[str, str]:
        return {"id": self.id, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class EventContext:
    """The common fields of every event that one command appends. `now` is the instant of the
    decision, in UTC.
    """

    now: datetime
    command_id: str
    actor: Actor
    source: str
    correlation_id: str | None = None
    reason: str | None = None

    def fields(self) -> dict[str, Any]:
        """As keyword arguments of an event, besides its timestamp."""
        return {
            "command_id": self.command_id,
            "actor": self.actor.plain(),
            "source": self.source,
            "correlation_id": self.correlation_id,
            "reason": self.reason,
        }

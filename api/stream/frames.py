"""Encodes events as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ledger.store.audit_query import AuditQuery
from ledger.store.event_queries import event_view
from ledger.store.records import RecordedEvent

RETRY_MILLISECONDS = 2000
"""How long a client waits before it reconnects."""
GREETING = b"retry: %d\n\n" % RETRY_MILLISECONDS
HEARTBEAT = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event and its encoding, which all clients share."""

    position: int
    event: RecordedEvent
    content: bytes


def frames_of(events: Sequence[RecordedEvent]) -> list[Frame]:
    """The events, encoded."""
    return [
        Frame(event.position, event, encode(event.topic, event_view(event), event.position))
        for event in events
    ]


def encode(event: str, data: Any, position: int | None = None) -> bytes:
    """One server-sent event. JSON escapes line breaks, so the data is one line."""
    identity = b"" if position is None else b"id: %d\n" % position
    return b"%sevent: %s\ndata: %s\n\n" % (identity, event.encode(), orjson.dumps(data))


def last_frame(event: str, reason: str, position: int) -> bytes:
    """The last event: `dropped` or `closing`, the reason, and the position to resume from."""
    return encode(event, {"reason": reason, "position": position})


def has_filter(query: AuditQuery) -> bool:
    """Whether a query excludes any event."""
    return query != AuditQuery()


def matches(query: AuditQuery, event: RecordedEvent) -> bool:
    """Whether an event matches the filters, exactly as in the audit."""
    actor = event.data["actor"]
    filters = (
        (query.actor, actor["id"]),
        (query.kind, actor["kind"]),
        (query.stream, event.stream),
        (query.source, event.data["source"]),
        (query.correlation_id, event.data["correlation_id"]),
        (query.failure_class, event.data.get("failure_class")),
    )
    is_topic = not query.topics or event.topic in query.topics
    return is_topic and all(wanted is None or wanted == found for wanted, found in filters)

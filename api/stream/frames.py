"""Events as server-sent events (WHATWG HTML, 9.2): encoded once, sent to many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ledger.store.audit_query import AuditQuery
from ledger.store.event_queries import event_view
from ledger.store.records import RecordedEvent

RETRY_MILLISECONDS = 2000
"""How long a client waits before it comes again."""
GREETING = b"retry: %d\n\n" % RETRY_MILLISECONDS
HEARTBEAT = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: what filters ask about, and the bytes that every client gets."""

    position: int
    fact: RecordedEvent
    content: bytes


def frame_of(fact: RecordedEvent) -> Frame:
    """An event, encoded."""
    return Frame(fact.position, fact, encode(fact.topic, event_view(fact), fact.position))


def frames_of(facts: Sequence[RecordedEvent]) -> list[Frame]:
    """A page of events, encoded."""
    return [frame_of(fact) for fact in facts]


def encode(event: str, data: Any, position: int | None = None) -> bytes:
    """One server-sent event. JSON escapes line ends, so its data is one line."""
    identity = b"" if position is None else b"id: %d\n" % position
    return b"%sevent: %s\ndata: %s\n\n" % (identity, event.encode(), orjson.dumps(data))


def last_frame(event: str, reason: str, position: int) -> bytes:
    """How a stream ends: `dropped` or `closing`, why, and the position to go on from."""
    return encode(event, {"reason": reason, "position": position})


def has_filter(query: AuditQuery) -> bool:
    """Whether a query asks for some events only."""
    return query != AuditQuery()


def matches(query: AuditQuery, fact: RecordedEvent) -> bool:
    """Whether an event is one that the filters ask for, as the audit would say."""
    actor = fact.data["actor"]
    asked = (
        (query.actor, actor["id"]),
        (query.kind, actor["kind"]),
        (query.stream, fact.stream),
        (query.source, fact.data["source"]),
        (query.correlation_id, fact.data["correlation_id"]),
        (query.failure_class, fact.data.get("failure_class")),
    )
    is_topic = not query.topics or fact.topic in query.topics
    return is_topic and all(wanted is None or wanted == found for wanted, found in asked)

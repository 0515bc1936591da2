"""The hash chain over all events: the first changed, moved or missing one is found and named.

leaf = SHA-256(00 ‖ u64 position ‖ 16-byte stream ‖ u64 version ‖ u16 length ‖ topic ‖
               i64 recorded_at µs ‖ SHA-256(state))
chain = SHA-256(01 ‖ previous chain ‖ leaf)

The first chain value is SHA-256(ledger id). All numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

_PLACE = struct.Struct(">BQ16sQH")
_TIME = struct.Struct(">q")
_TYPES = (
    ("stream", bytes),
    ("version", int),
    ("topic", str),
    ("state", bytes),
    ("recorded_at", int),
)
STREAM_BYTES = 16
MAX_TOPIC = 1000
"""Far longer than any topic, and short enough for the leaf's u16."""
UNREADABLE = "its stored state cannot be read"


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row of the events table, with every column."""

    position: int
    stream: bytes
    version: int
    topic: str
    state: bytes
    recorded_at: int
    actor: str | None
    kind: str | None
    source: str | None
    correlation_id: str | None
    failure_class: str | None
    chain: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """The first position where the store differs from what was appended."""

    position: int
    problem: str


def genesis(ledger_id: UUID) -> bytes:
    """The chain value before the first event."""
    return sha256(ledger_id.bytes).digest()


def leaf_of(
    position: int, stream: bytes, version: int, topic: str, recorded_at: int, state: bytes
) -> bytes:
    """The hash of one event with its position. `stream` is 16 bytes, `recorded_at` µs since the
    epoch.
    """
    name = topic.encode()
    return sha256(
        _PLACE.pack(0, position, stream, version, len(name))
        + name
        + _TIME.pack(recorded_at)
        + sha256(state).digest()
    ).digest()


def chain_of(previous: bytes, leaf: bytes) -> bytes:
    """The chain value after one more event."""
    return sha256(b"\x01" + previous + leaf).digest()


def columns_of(state: Mapping[str, Any]) -> tuple[str | None, ...]:
    """The columns derived from a state: actor id and kind, source, correlation id, failure
    class.
    """
    actor = state.get("actor") or {}
    return (
        actor.get("id"),
        actor.get("kind"),
        state.get("source"),
        state.get("correlation_id"),
        state.get("failure_class"),
    )


class ChainWalk:
    """A walk over all events: how far they are intact, and the chain value there.

    Stores one number per stream. `take` an event only after `problem_with` found no problem.
    """

    def __init__(self, start: bytes) -> None:
        self.position = 0
        self.chain = start
        self._versions: dict[bytes, int] = {}

    def problem_with(self, row: EventRow, state: Any) -> str | None:
        """Why `row` is not the event that was appended here; None when it is. `state` is its
        decoded state.
        """
        return (
            type_problem(row)
            or self._place_problem(row)
            or _content_problem(row, state)
            or _hash_problem(row, self.chain)
        )

    def take(self, row: EventRow) -> None:
        """Advance past an intact event."""
        self._versions[row.stream] = row.version
        self.position = row.position
        self.chain = row.chain

    def _place_problem(self, row: EventRow) -> str | None:
        expected = self.position + 1
        if row.position != expected:
            return f"position {expected} is missing: the next event is at {row.position}"
        before = self._versions.get(row.stream, 0)
        if row.version != before + 1:
            return f"version {row.version} of its stream follows version {before}"
        return None


def type_problem(row: EventRow) -> str | None:
    """Whether a hashed column has another type or size than it was appended with: SQLite stores
    whatever it is given.
    """
    is_typed = all(isinstance(getattr(row, name), kind) for name, kind in _TYPES)
    if is_typed and len(row.stream) == STREAM_BYTES and len(row.topic) <= MAX_TOPIC:
        return None
    return "one of its columns does not have the type that was appended"


def _content_problem(row: EventRow, state: Any) -> str | None:
    try:
        columns = columns_of(state)
    except AttributeError:
        return UNREADABLE
    if columns != (row.actor, row.kind, row.source, row.correlation_id, row.failure_class):
        return "its columns differ from its state"
    return None


def _hash_problem(row: EventRow, previous: bytes) -> str | None:
    leaf = leaf_of(row.position, row.stream, row.version, row.topic, row.recorded_at, row.state)
    if chain_of(previous, leaf) == row.chain:
        return None
    return "the event is not what was appended (its hash does not match the chain)"

"""Events to stored bytes and back: plain JSON, free text kept apart, no payload is ever interpreted
as code or type.

There are no type hooks: a payload is read back equal, or refused before it is appended. Only the
event class says which of its fields are instants, which are free text and which are positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_type_hints
from uuid import UUID

import orjson
from eventsourcing.persistence import Transcoder

from ledger.domain.events import Event, PositionOf
from ledger.errors import InvalidField

ENVELOPE = ("originator_id", "originator_version")
FORGOTTEN = "[forgotten]"
OFFSET_LENGTH = len("+00:00")


@dataclass(frozen=True, slots=True)
class Text:
    """Free text stored apart from the event, which has its id and SHA-256(salt ‖ body)."""

    id: str
    salt: bytes
    body: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.salt + self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of one event class that a codec treats specially."""

    topic: str
    class_version: int
    fields: frozenset[str]
    instants: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    positions: tuple[str, ...]


@cache
def shape_of(event_class: type[Event]) -> Shape:
    """The shape of an event class, from its annotations."""
    hints = get_type_hints(event_class)
    own = tuple(item.name for item in dataclass_fields(event_class))
    return Shape(
        topic=event_class.TOPIC,
        class_version=event_class.class_version,
        fields=frozenset(own).difference(ENVELOPE),
        instants=tuple(name for name in own if hints[name] in (datetime, datetime | None)),
        texts=tuple(tuple(path.split(".")) for path in ("reason", *event_class.TEXTS)),
        positions=event_class.POSITIONS,
    )


class PlainJSON(Transcoder):
    """orjson without hooks. Values that would not be read back equal are refused as
    InvalidField.
    """

    def encode(self, obj: Any) -> bytes:
        """JSON bytes of plain values; refuses NaN, integers beyond 64 bits, lone surrogates,
        anything not plain.
        """
        try:
            encoded = orjson.dumps(obj)
        except (orjson.JSONEncodeError, TypeError) as error:
            raise InvalidField("body", f"contains what JSON cannot represent: {error}") from None
        if orjson.loads(encoded) != obj:
            raise InvalidField(
                "body", "contains a value that JSON cannot represent (NaN or infinity)"
            )
        return encoded

    def decode(self, data: bytes) -> Any:
        return orjson.loads(data)


@dataclass(frozen=True, slots=True)
class Codec:
    """Splits free text off an event's fields and joins it again. `entropy(n)` gives n random
    bytes.
    """

    entropy: Callable[[int], bytes]
    json: PlainJSON

    def split(self, event: Event) -> tuple[dict[str, Any], list[Text]]:
        """The plain state of an event, and the texts taken out of it."""
        shape = shape_of(type(event))
        state = dict(vars(event))
        for name in ENVELOPE:
            del state[name]
        for name in shape.instants:
            if state[name] is not None:
                state[name] = instant_text(state[name])
        if shape.class_version > 1:
            state["class_version"] = shape.class_version
        texts: list[Text] = []
        for path in shape.texts:
            if state[path[0]]:
                self._take(state, path, texts)
        return state, texts

    def _take(self, state: dict[str, Any], path: tuple[str, ...], texts: list[Text]) -> None:
        holder = state
        if len(path) == 2:
            holder = state[path[0]] = dict(state[path[0]])
        body = holder.get(path[-1])
        if body:
            text = Text(self.entropy(16).hex(), self.entropy(16), encode_text(path[-1], body))
            texts.append(text)
            holder[path[-1]] = [text.id, text.digest]

    def join(
        self, event_class: type[Event], state: dict[str, Any], bodies: Mapping[str, str]
    ) -> dict[str, Any]:
        """The fields of an event from its stored state; an erased text reads `[forgotten]`."""
        shape = shape_of(event_class)
        for name in shape.instants:
            if state[name] is not None:
                state[name] = datetime.fromisoformat(state[name])
        put_texts(shape.texts, state, bodies)
        return state


def instant_text(at: datetime) -> str:
    """An instant as it is stored: RFC 3339 in UTC."""
    text = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat()
    return f"{text[:-OFFSET_LENGTH]}Z"


def encode_text(name: str, body: str) -> bytes:
    """UTF-8; refuses lone surrogates and NUL."""
    try:
        encoded = body.encode()
    except UnicodeEncodeError:
        raise InvalidField(name, "contains a lone surrogate, which is not a character") from None
    if b"\x00" in encoded:
        raise InvalidField(name, "contains a NUL character")
    return encoded


def text_references(
    paths: tuple[tuple[str, ...], ...], state: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """The texts that a stored state refers to: id and digest."""
    references = [_reference(state, path) for path in paths if state.get(path[0])]
    return [(reference[0], reference[1]) for reference in references if reference]


def put_texts(
    paths: tuple[tuple[str, ...], ...], state: dict[str, Any], bodies: Mapping[str, str]
) -> None:
    """Replace each reference in `state` by its text."""
    for path in paths:
        if not state[path[0]]:
            continue
        reference = _reference(state, path)
        if reference:
            holder = state if len(path) == 1 else state[path[0]]
            holder[path[-1]] = bodies.get(reference[0], FORGOTTEN)


def blank_texts(paths: tuple[tuple[str, ...], ...], state: dict[str, Any]) -> None:
    """Remove each text from `state`, as if it had been empty."""
    for path in paths:
        if state[path[0]] and _reference(state, path):
            holder = state if len(path) == 1 else state[path[0]]
            holder[path[-1]] = ""


def _reference(state: Mapping[str, Any], path: tuple[str, ...]) -> list[str] | None:
    holder: Any = state if len(path) == 1 else state.get(path[0])
    reference = holder.get(path[-1]) if holder else None
    return reference if isinstance(reference, list) else None


def fill_positions(
    event_class: type[Event], state: dict[str, Any], positions: Mapping[tuple[UUID, int], int]
) -> None:
    """Replace each PositionOf by the assigned number."""
    for name in event_class.POSITIONS:
        value = state[name]
        if isinstance(value, PositionOf):
            state[name] = positions[value.stream, value.version]
        elif isinstance(value, list):
            state[name] = [positions[at.stream, at.version] for at in value]

"""JSON read strictly: what comes in is exactly what was written, or it is MalformedJson."""

from __future__ import annotations

import json
from typing import Any

import orjson

from api.refusals import MalformedJson

MAX_DEPTH = 64


def read(body: bytes) -> Any:
    """The value of a JSON text.

    Refuses, beyond what is no JSON or no UTF-8: NaN and infinities, lone surrogates, NUL
    characters, nesting deeper than 64, numbers too large to be any, and a key that stands twice in
    one object (one of the two would be lost in silence).
    """
    try:
        _require_storable(orjson.loads(body))
        # orjson would round wide integers and drop doubled keys; the library's reader tells.
        return json.loads(body, object_pairs_hook=_unique)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(error.msg[:200]) from None
    except ValueError:  # more digits than Python reads
        raise MalformedJson("it holds a number that is too long") from None


def _require_storable(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if any("\0" in text for text in _texts(level)):
            raise MalformedJson("it holds a NUL character")
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise MalformedJson(f"it is nested deeper than {MAX_DEPTH}")


def _texts(level: list[Any]) -> list[str]:
    keys = [key for item in level if isinstance(item, dict) for key in item]
    return keys + [item for item in level if isinstance(item, str)]


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MalformedJson("a key stands twice in one object")
    return found

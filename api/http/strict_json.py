"""Strict JSON parsing: the exact value of the text, or MalformedJson."""

from __future__ import annotations

import json
from typing import Any

import orjson

from api.refusals import MalformedJson

MAX_DEPTH = 64


def read(body: bytes) -> Any:
    """The value of a JSON text.

    Refuses, besides invalid JSON and UTF-8: NaN and infinities, lone surrogates, NUL characters,
    nesting deeper than 64, numbers too long to parse, and duplicate keys in an object, of which
    one would silently be lost.
    """
    try:
        _require_storable(orjson.loads(body))
        # orjson rounds wide integers and drops duplicate keys; the standard library keeps both.
        return json.loads(body, object_pairs_hook=_without_duplicates)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(error.msg[:200]) from None
    except ValueError:  # more digits than Python parses
        raise MalformedJson("it contains a number that is too long") from None


def _require_storable(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if any("\0" in text for text in _texts(level)):
            raise MalformedJson("it contains a NUL character")
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return
    raise MalformedJson(f"it is nested deeper than {MAX_DEPTH}")


def _texts(level: list[Any]) -> list[str]:
    keys = [key for item in level if isinstance(item, dict) for key in item]
    return keys + [item for item in level if isinstance(item, str)]


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MalformedJson("an object contains a key twice")
    return found

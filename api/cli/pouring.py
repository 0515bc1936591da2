"""A whole file of events, however many: asked for stretch by stretch, passed on as it comes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from enum import StrEnum
from typing import Any

import orjson

from api.cli.bars import steps
from api.cli.door import Door

STRETCH = 5000
"""Events asked for at a time: what is held in memory at once."""


class FileFormat(StrEnum):
    """What a file of events may be."""

    JSONL = "jsonl"
    CSV = "csv"


def pour(
    door: Door, query: Mapping[str, Any], shape: FileFormat, *, is_quiet: bool = False
) -> Iterator[str]:
    """The events that fit, up to where the book ends now, in pieces that end with a line; at most
    `limit` of them if the query has one. Tells how far it is on stderr, if that is a terminal, and
    unless it is to be quiet.
    """
    end = door.ask("GET", "/v1/events", query={"limit": 1}).document["position"]
    is_descending = query.get("order") == "desc"
    with nullcontext(_tell_nobody) if is_quiet else steps("Events") as told:
        for text, position in _stretches(door, query, shape):
            yield text
            told("exported", end - position if is_descending else min(position, end), end)
            if position >= end and not is_descending:
                return
        told("exported", end, end)


def _tell_nobody(step: str, done: int, total: int) -> None:
    pass


def _stretches(
    door: Door, query: Mapping[str, Any], shape: FileFormat
) -> Iterator[tuple[str, int]]:
    """Each piece with the position of its last event."""
    cursor, left = query.get("cursor"), query.get("limit")
    is_first = True
    while True:
        count = STRETCH if left is None else min(STRETCH, left)
        asked = {**query, "format": shape.value, "cursor": cursor, "limit": count}
        text = door.ask_text("/v1/events", asked)
        positions = POSITIONS[shape](text)
        if is_first or positions:
            rest = text if is_first or shape is FileFormat.JSONL else text.partition("\n")[2]
            yield rest, positions[-1] if positions else 0
        is_first, left = False, None if left is None else left - len(positions)
        if len(positions) < count or left == 0:
            return
        cursor = positions[-1]


def _of_jsonl(text: str) -> list[int]:
    """Of all but the last only their number is asked for."""
    lines = text.split("\n")[:-1]
    last = [orjson.loads(lines[-1])["position"]] if lines else []
    return [0] * (len(lines) - 1) + last


def _of_csv(text: str) -> list[int]:
    rows = csv.reader(io.StringIO(text, newline=""))
    next(rows)  # the names of the columns
    return [int(row[0]) for row in rows]


POSITIONS: Mapping[FileFormat, Callable[[str], list[int]]] = {
    FileFormat.JSONL: _of_jsonl,
    FileFormat.CSV: _of_csv,
}

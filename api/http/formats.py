"""The audit as a file: JSON lines or CSV, written while it is read, in flat memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson

T = TypeVar("T")

ROWS_AT_ONCE = 500
"""Events in one piece of a stream."""
COLUMNS = (
    "position",
    "recorded_at",
    "timestamp",
    "topic",
    "event_version",
    "job_id",
    "version",
    "actor_id",
    "actor_kind",
    "source",
    "command_id",
    "correlation_id",
    "reason",
    "data",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet may run a cell that begins like this (OWASP, CSV injection)."""
MEDIA_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}


def jsonl(events: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """One event a line."""
    for some in _in_pieces(events):
        yield b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in some)


def csv_rows(events: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """A line of names, then one event a line; `data` as JSON. No cell begins like a formula."""
    yield from table(COLUMNS, map(_row, events))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """A line of names, then the rows. No cell begins like a formula."""
    yield _lines([columns])
    for some in _in_pieces(rows):
        yield _lines([[safe_cell(cell) for cell in row] for row in some])


def safe_cell(value: object) -> str:
    """A cell that a spreadsheet shows and does not run."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _row(event: dict[str, Any]) -> list[object]:
    flat = event | {
        "actor_id": event["actor"]["id"],
        "actor_kind": event["actor"]["kind"],
        "data": orjson.dumps(event["data"]).decode(),
    }
    return [flat[name] for name in COLUMNS]


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    sheet = io.StringIO()
    csv.writer(sheet).writerows(rows)
    return sheet.getvalue().encode()


def _in_pieces(rows: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(rows)
    while some := list(islice(rest, ROWS_AT_ONCE)):
        yield some

"""Streams events as JSON lines or CSV, in constant memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson

T = TypeVar("T")

ROWS_PER_CHUNK = 500
"""Rows in one chunk of the stream."""
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
"""Spreadsheets evaluate a cell that begins with one of these (OWASP, CSV injection)."""
MEDIA_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}


def jsonl(events: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """One event per line."""
    for chunk in _chunks(events):
        yield b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in chunk)


def csv_rows(events: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """A header line, then one event per line with `data` as JSON. No cell is a formula."""
    yield from table(COLUMNS, map(_row, events))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """A header line, then the rows. No cell is a formula."""
    yield _lines([columns])
    for chunk in _chunks(rows):
        yield _lines([[safe_cell(cell) for cell in row] for row in chunk])


def safe_cell(value: object) -> str:
    """The value as a cell that spreadsheets do not evaluate."""
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


def _chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(rows)
    while chunk := list(islice(rest, ROWS_PER_CHUNK)):
        yield chunk

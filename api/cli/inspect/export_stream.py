"""Any number of events as a stream, requested in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from enum import StrEnum
from itertools import islice
from typing import Any

import orjson

from api.cli.connection.client import ApiClient
from api.cli.output.progress import steps

BATCH_EVENTS = 5000
"""Events per request."""
CHUNK_EVENTS = 500
"""Events in memory."""


class FileFormat(StrEnum):
    """Formats of a file of events."""

    JSONL = "jsonl"
    CSV = "csv"


def stream_events(
    client: ApiClient, query: Mapping[str, Any], shape: FileFormat, *, is_quiet: bool = False
) -> Iterator[str]:
    """The matching events up to the present end of the ledger, in chunks of whole lines; at most
    `limit` if the query has one. Shows progress on a terminal's stderr unless `is_quiet`.
    """
    end = client.request("GET", "/v1/events", query={"limit": 1}).document["position"]
    is_descending = query.get("order") == "desc"
    with nullcontext(_report_nothing) if is_quiet else steps("Events") as report:
        for text, position in _batches(client, query, shape):
            yield text
            report("exported", end - position if is_descending else min(position, end), end)
            if position >= end and not is_descending:
                return
        report("exported", end, end)


def _report_nothing(step: str, done: int, total: int) -> None:
    pass


def _batches(
    client: ApiClient, query: Mapping[str, Any], shape: FileFormat
) -> Iterator[tuple[str, int]]:
    """Each chunk with the position of its last event."""
    cursor, left = query.get("cursor"), query.get("limit")
    if shape is FileFormat.CSV:
        yield _csv_header(client, query), 0
    while True:
        size = BATCH_EVENTS if left is None else min(BATCH_EVENTS, left)
        asked = {**query, "format": shape.value, "cursor": cursor, "limit": size}
        count = 0
        for text, taken, cursor in _chunks(client, asked, shape):
            count += taken
            yield text, cursor
        left = None if left is None else left - count
        if count < size or left == 0:
            return


def _csv_header(client: ApiClient, query: Mapping[str, Any]) -> str:
    """The first line of the CSV, which every batch repeats."""
    with client.stream("/v1/events", {**query, "format": "csv", "limit": 1}) as pieces:
        return next(_lines(pieces))


def _chunks(
    client: ApiClient, asked: Mapping[str, Any], shape: FileFormat
) -> Iterator[tuple[str, int, int]]:
    """One batch, chunk by chunk: the text, the number of events, the position of the last."""
    with client.stream("/v1/events", asked) as pieces:
        records = _lines(pieces)
        if shape is FileFormat.CSV:
            records = _rows(records)
            next(records)
        while some := list(islice(records, CHUNK_EVENTS)):
            yield "".join(some), len(some), POSITION[shape](some[-1])


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Whole lines of a text that comes in pieces."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from (f"{line}\n" for line in whole)


def _rows(lines: Iterable[str]) -> Iterator[str]:
    """The rows of a CSV: a quoted cell may have several lines."""
    row = ""
    for line in lines:
        row += line
        if row.count('"') % 2 == 0:
            yield row
            row = ""


POSITION: Mapping[FileFormat, Callable[[str], int]] = {
    FileFormat.JSONL: lambda record: int(orjson.loads(record)["position"]),
    FileFormat.CSV: lambda record: int(record.partition(",")[0]),
}

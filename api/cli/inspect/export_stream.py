"""A whole file of events, however many: asked for stretch by stretch, passed on as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from enum import StrEnum
from itertools import islice
from typing import Any

import orjson

from api.cli.connection.client import ApiClient
from api.cli.output.progress import steps

STRETCH = 5000
"""Events asked for at a time; how far it is, is known from one to the next."""
AT_ONCE = 500
"""Events held in memory."""


class FileFormat(StrEnum):
    """What a file of events may be."""

    JSONL = "jsonl"
    CSV = "csv"


def pour(
    client: ApiClient, query: Mapping[str, Any], shape: FileFormat, *, is_quiet: bool = False
) -> Iterator[str]:
    """The events that fit, up to where the book ends now, in pieces that end with a line; at most
    `limit` of them if the query has one. Tells how far it is on stderr, if that is a terminal, and
    unless it is to be quiet.
    """
    end = client.request("GET", "/v1/events", query={"limit": 1}).document["position"]
    is_descending = query.get("order") == "desc"
    with nullcontext(_tell_nobody) if is_quiet else steps("Events") as told:
        for text, position in _stretches(client, query, shape):
            yield text
            told("exported", end - position if is_descending else min(position, end), end)
            if position >= end and not is_descending:
                return
        told("exported", end, end)


def _tell_nobody(step: str, done: int, total: int) -> None:
    pass


def _stretches(
    client: ApiClient, query: Mapping[str, Any], shape: FileFormat
) -> Iterator[tuple[str, int]]:
    """Each piece with the position of its last event, stretch after stretch."""
    cursor, left = query.get("cursor"), query.get("limit")
    if shape is FileFormat.CSV:
        yield _job_cache(client, query), 0
    while True:
        size = STRETCH if left is None else min(STRETCH, left)
        asked = {**query, "format": shape.value, "cursor": cursor, "limit": size}
        count = 0
        for text, taken, cursor in _pieces(client, asked, shape):
            count += taken
            yield text, cursor
        left = None if left is None else left - count
        if count < size or left == 0:
            return


def _job_cache(client: ApiClient, query: Mapping[str, Any]) -> str:
    """The names of the columns: the first line of a sheet, which every stretch has."""
    with client.stream("/v1/events", {**query, "format": "csv", "limit": 1}) as pieces:
        return next(_lines(pieces))


def _pieces(
    client: ApiClient, asked: Mapping[str, Any], shape: FileFormat
) -> Iterator[tuple[str, int, int]]:
    """One stretch: some events at a time, how many they are, and the position of the last."""
    with client.stream("/v1/events", asked) as pieces:
        records = _lines(pieces)
        if shape is FileFormat.CSV:
            records = _rows(records)
            next(records)
        while some := list(islice(records, AT_ONCE)):
            yield "".join(some), len(some), POSITION[shape](some[-1])


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Whole lines with their ends, of a text that comes in pieces."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from (f"{line}\n" for line in whole)


def _rows(lines: Iterable[str]) -> Iterator[str]:
    """The rows of a sheet: a cell may have several lines, and all of it is in quotes then."""
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

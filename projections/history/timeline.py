"""A history as lines: a run is one line, and so are several successful runs in a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from projections.history.topics import DELIVERED, ENDS, STARTED, SUCCEEDED

Event = Mapping[str, Any]

SHORTEST_QUIET = 3
"""Successful runs in a row that are folded into one line."""


class Kind(Enum):
    """What a line shows."""

    EVENT = "event"
    RUN = "run"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Line:
    """An event, a run with its start and its end, or several runs that all succeeded (and were
    delivered), with all their events.
    """

    kind: Kind
    events: tuple[Event, ...]

    @property
    def run_count(self) -> int:
        return sum(event["topic"] in ENDS for event in self.events)


def lines(events: Sequence[Event], *, folds: bool = True) -> list[Line]:
    """The lines of a part of one job's history, oldest first; `folds` makes one line of successful
    runs in a row. Every event is in exactly one line, in order.
    """
    paired = list(_with_runs(events))
    return list(_folded(paired)) if folds else paired


def _with_runs(events: Sequence[Event]) -> Iterable[Line]:
    """Starts joined with their ends, where no other event is between them."""
    index = 0
    while index < len(events):
        pair = events[index : index + 2]
        is_run = len(pair) == 2 and pair[0]["topic"] == STARTED and pair[1]["topic"] in ENDS
        used = pair if is_run else pair[:1]
        yield Line(Kind.RUN if is_run else Kind.EVENT, tuple(used))
        index += len(used)


def _folded(paired: Sequence[Line]) -> Iterable[Line]:
    quiet: list[Line] = []
    for line in paired:
        if _is_quiet(line) or (quiet and _is_delivery(line)):
            quiet.append(line)
            continue
        yield from _as_one(quiet)
        quiet = []
        yield line
    yield from _as_one(quiet)


def _as_one(quiet: Sequence[Line]) -> Iterable[Line]:
    if sum(line.run_count for line in quiet) < SHORTEST_QUIET:
        return quiet
    return [Line(Kind.QUIET, tuple(event for line in quiet for event in line.events))]


def _is_quiet(line: Line) -> bool:
    """Whether a line is a scheduled run that succeeded and changed nothing."""
    if line.kind is not Kind.RUN:
        return False
    start, end = line.events
    is_plain = start["data"]["trigger"] == "schedule" and end["data"].get("missed") is None
    return bool(is_plain and end["topic"] == SUCCEEDED and _keeps_state(start, end))


def _keeps_state(start: Event, end: Event) -> bool:
    before, after = start["before"], end["after"]
    return bool(
        before["status"] == after["status"]
        and before["consecutive_errors"] == after["consecutive_errors"]
    )


def _is_delivery(line: Line) -> bool:
    return bool(line.events[0]["topic"] == DELIVERED)

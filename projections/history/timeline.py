"""A history as a person reads it: a run is one line, and so is a stretch that went well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Event = Mapping[str, Any]

STARTED = "job.run_started"
SUCCEEDED = "job.run_succeeded"
ENDS = (SUCCEEDED, "job.run_failed", "job.run_lost", "job.run_blocked")
DELIVERED = "job.delivered"
SHORTEST_QUIET = 3
"""Successes in a row that are worth folding."""


class Kind(Enum):
    """What a line tells."""

    EVENT = "event"
    RUN = "run"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: an event, a run with its start and its end, or several runs that all succeeded
    (and were delivered), with every event of theirs.
    """

    kind: Kind
    events: tuple[Event, ...]

    @property
    def run_count(self) -> int:
        return sum(event["topic"] in ENDS for event in self.events)


def lines(events: Sequence[Event], *, folds: bool = True) -> list[Line]:
    """The lines of a stretch of one job's history, oldest first; with `folds`, quiet stretches are
    one line each. Every event is in exactly one line, in order.
    """
    paired = list(_with_runs(events))
    return list(_folded(paired)) if folds else paired


def _with_runs(events: Sequence[Event]) -> Iterable[Line]:
    """Starts joined with their ends, where nothing stands between."""
    place = 0
    while place < len(events):
        pair = events[place : place + 2]
        is_run = len(pair) == 2 and pair[0]["topic"] == STARTED and pair[1]["topic"] in ENDS
        taken = pair if is_run else pair[:1]
        yield Line(Kind.RUN if is_run else Kind.EVENT, tuple(taken))
        place += len(taken)


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
    """Whether a run succeeded as its schedule had it, and changed nothing."""
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

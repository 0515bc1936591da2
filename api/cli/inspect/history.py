"""history: the events of one job as a timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated

from rich.text import Text

from api.cli.connection.client import ApiClient
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.connection.question import AsOf, read_as_of
from api.cli.options import AsJson, AsOfOption, Cursor, DataFolder, JobWanted, flag, switch
from api.cli.output import event_text
from api.cli.output.paging import say_more
from api.cli.output.render import write_document
from api.cli.output.terminal import Cell, print_lines, status_cell
from api.cli.output.times import ago_short, to_the_second, took
from api.cli.responses import ApiResponse, Document
from projections.history.timeline import Kind, Line, lines
from projections.history.topics import ENDS

DEFAULT_LINES = 40
"""They fit on a screen."""
DEFAULT_EVENTS = 200
"""The same with --json."""
BATCH_EVENTS = 500
"""Events per request until there are enough lines."""
MOST_EVENTS = 10_000
"""Stop reading after so many: a history of successful runs folds into few lines."""

Newest = Annotated[bool, switch("--newest", "Newest first.")]
All = Annotated[
    bool, switch("--all", "One line per run, instead of one line per series of successes.")
]
Lines = Annotated[
    int | None,
    flag(
        "--limit",
        "N",
        f"Most lines ({DEFAULT_LINES}); with --json, most events ({DEFAULT_EVENTS}).",
        min=1,
        max=1000,
    ),
]


def history(
    wanted: JobWanted,
    every: All = False,
    newest: Newest = False,
    as_of: AsOfOption = None,
    limit: Lines = None,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Show the events of one job as a timeline.

    A deleted job is named by its whole id.
    """
    with connect(Intent.READ, data) as client:
        at = read_as_of(client, as_of)
        job_id = find_job_id(client, wanted, as_of=at.value)
        query = {"order": "desc" if newest else "asc", "as_of": at.value, "cursor": cursor}
        read = partial(_page, client, f"/v1/jobs/{job_id}/events", query)
        if as_json:
            write_document(read(limit=limit or DEFAULT_EVENTS).text)
            return
        timeline = Timeline(read, newest=newest, folds=not every)
        timeline.read(limit or DEFAULT_LINES, cursor)
    _print_history(timeline, at)


class Timeline:
    """The lines of a history, read until there are enough. `next` is the cursor after them."""

    def __init__(self, read: Callable[..., ApiResponse], *, newest: bool, folds: bool) -> None:
        self._read = read
        self._newest = newest
        self._folds = folds
        self._events: list[Document] = []
        self.lines: list[Line] = []
        self.next: str | None = None
        self.position = 0

    def read(self, wanted: int, cursor: str | None) -> None:
        """Read page after page until there are so many lines, or no more events."""
        self.next = cursor
        while len(self.lines) <= wanted and len(self._events) < MOST_EVENTS:
            page = self._read(cursor=self.next, limit=BATCH_EVENTS).document
            self._events += page["events"]
            self.lines, self.next = self._folded(), page["next"]
            self.position = page["position"]
            if self.next is None:
                break
        if len(self.lines) > wanted:
            self.lines = self.lines[:wanted]
            self.next = self._after(self.lines[-1])

    def _folded(self) -> list[Line]:
        if not self._newest:
            return lines(self._events, folds=self._folds)
        return lines(self._events[::-1], folds=self._folds)[::-1]

    def _after(self, line: Line) -> str:
        """The cursor of what follows a line."""
        return str(line.events[0 if self._newest else -1]["version"])


def _page(client: ApiClient, path: str, query: Mapping[str, object], **page: object) -> ApiResponse:
    return client.request("GET", path, query={**query, **page})


def _print_history(timeline: Timeline, as_of: AsOf) -> None:
    as_of.print_heading()
    rows = [_row(line, as_of.now) for line in timeline.lines]
    print_lines([">POSITION", "WHEN", "WHAT", "ACTOR", "STATUS", "DETAILS"], rows)
    say_more({"next": timeline.next}, **as_of.pinned(timeline.position))


def _row(line: Line, now: datetime) -> tuple[Cell, ...]:
    first, last = line.events[0], line.events[-1]
    position = str(first["position"])
    return (
        position if first is last else f"{position}–{last['position']}",
        ago_short(first["recorded_at"], now),
        _what(line),
        event_text.actor(last),
        _transition(first, last),
        _details(line),
    )


def _what(line: Line) -> str:
    if line.kind is Kind.QUIET:
        return f"{line.run_count} runs succeeded"
    return event_text.topic(line.events[-1])


def _details(line: Line) -> str:
    first, last = line.events[0], line.events[-1]
    match line.kind:
        case Kind.EVENT:
            return event_text.details(first)
        case Kind.RUN:
            return f"{event_text.details(first)}; {event_text.details(last)}".removesuffix("; ")
        case Kind.QUIET:
            durations = [e["data"]["duration_ms"] for e in line.events if e["topic"] in ENDS]
            spread = " to ".join(dict.fromkeys((took(min(durations)), took(max(durations)))))
            return f"until {to_the_second(last['recorded_at'])}, {spread} each"


def _transition(first: Document, last: Document) -> Text:
    before, after = first["before"]["status"], last["after"]["status"]
    if before == after:
        return status_cell(after or "-")
    arrow = Text().append_text(status_cell(before or "new")).append(" → ")
    return arrow.append_text(status_cell(after or "-"))

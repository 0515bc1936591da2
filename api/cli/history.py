"""history, blame: what happened to one job, and what made it what it is."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer
from rich.text import Text

from api.cli import tellings
from api.cli.answers import Document, executor_text, say_more, schedule_text, short, show
from api.cli.lookup import find_job_id
from api.cli.moments import read_moment, to_the_second, told_briefly, took
from api.cli.options import AsJson, AsOf, Cursor, DataFolder, JobWanted, Limit
from api.cli.screen import Cell, harmless, print_table, print_told, say, status_cell
from api.cli.ways import Intent, open_door
from ledger.clock import SystemClock
from projections.timeline import ENDS, Kind, Line, lines

PAGE = 200
"""Events of a page, if nothing else is asked for: folded, they fit on a screen."""
LONGEST_VALUE = 60

Newest = Annotated[bool, typer.Option("--newest", help="The newest first.")]
All = Annotated[
    bool,
    typer.Option(
        "--all",
        help="Every run in a line of its own; else a stretch in which all went well is one.",
    ),
]


def history(
    wanted: JobWanted,
    every: All = False,
    newest: Newest = False,
    as_of: AsOf = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Show what happened to one job as a timeline, deleted or not (then by its whole id)."""
    moment = read_moment(as_of, "--as-of", SystemClock().now())
    query = {
        "order": "desc" if newest else "asc",
        "as_of": moment,
        "limit": limit,
        "cursor": cursor,
    }
    with open_door(Intent.READ, data) as door:
        job_id = find_job_id(door, wanted, as_of=moment)
        answer = door.ask("GET", f"/v1/jobs/{job_id}/events", query=query)
    flags = f"{' --all' if every else ''}{' --newest' if newest else ''}"
    more = f"jobledger history {short(job_id)}{flags}"
    show(answer, as_json, partial(_print_history, more=more, newest=newest, folds=not every))


def blame(
    wanted: JobWanted, as_of: AsOf = None, as_json: AsJson = False, data: DataFolder = None
) -> None:
    """Show each field of one job with the event that gave it its value: who, when, why."""
    now = SystemClock().now()
    moment = read_moment(as_of, "--as-of", now)
    with open_door(Intent.READ, data) as door:
        job_id = find_job_id(door, wanted, as_of=moment)
        answer = door.ask("GET", f"/v1/jobs/{job_id}/blame", query={"as_of": moment})
    show(answer, as_json, lambda document: _print_blame(document["blame"], now))


# -- a timeline -----------------------------------------------------------------------------------


def _print_history(document: Document, more: str, *, newest: bool, folds: bool) -> None:
    now = SystemClock().now()
    events = document["events"][::-1] if newest else document["events"]
    found = lines(events, folds=folds)
    rows = [_row(line, now) for line in (found[::-1] if newest else found)]
    print_told([">POSITION", "WHEN", "WHAT", "WHO", "STATUS", "DETAILS"], rows)
    say_more(document, more)


def _row(line: Line, now: datetime) -> tuple[Cell, ...]:
    first, last = line.events[0], line.events[-1]
    where = str(first["position"])
    place = where if first is last else f"{where}–{last['position']}"
    return (
        place,
        told_briefly(first["recorded_at"], now),
        _what(line),
        tellings.who(last),
        _step(first, last),
        _details(line),
    )


def _what(line: Line) -> str:
    if line.kind is Kind.QUIET:
        return f"{line.run_count} runs succeeded"
    return tellings.topic(line.events[-1])


def _details(line: Line) -> str:
    first, last = line.events[0], line.events[-1]
    match line.kind:
        case Kind.EVENT:
            return tellings.tell(first)
        case Kind.RUN:
            return f"{tellings.tell(first)}; {tellings.tell(last)}".removesuffix("; ")
        case Kind.QUIET:
            durations = [e["data"]["duration_ms"] for e in line.events if e["topic"] in ENDS]
            spread = " to ".join(dict.fromkeys((took(min(durations)), took(max(durations)))))
            return f"until {to_the_second(last['recorded_at'])}, each in {spread}"


def _step(first: Document, last: Document) -> Text:
    before, after = first["before"]["status"], last["after"]["status"]
    if before == after:
        return status_cell(after or "-")
    arrow = Text().append_text(status_cell(before or "new")).append(" → ")
    return arrow.append_text(status_cell(after or "-"))


# -- blame ----------------------------------------------------------------------------------------


def _print_blame(found: Document, now: datetime) -> None:
    say(f"{found['job_name']} ({short(found['job_id'])})", style="bold")
    rows = [
        (
            item["field"],
            _value(item["field"], item["value"]),
            str(item["actor"]["id"]),
            told_briefly(item["recorded_at"], now),
            str(item["position"]),
            tellings.topic(item),
            item["reason"] or "",
        )
        for item in found["fields"]
    ]
    print_table(["FIELD", "VALUE", "WHO", "WHEN", ">POSITION", "BY", "~WHY"], rows)


def _value(field: str, value: Any) -> Cell:
    match field, value:
        case _, None:
            return "-"
        case "schedule", dict():
            return schedule_text(value)
        case "executor", dict():
            return executor_text(value)
        case "last_run", dict():
            return status_cell(value["status"])
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = harmless(text)
    return line if len(line) <= LONGEST_VALUE else f"{line[: LONGEST_VALUE - 1]}…"

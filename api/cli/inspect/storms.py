"""storms, storm show: what failed together, when it began and whether it is over."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from api.cli.connection.as_of import AsOf, read_as_of
from api.cli.connection.connect import Intent, connect
from api.cli.options import AsJson, AsOfOption, Cursor, DataFolder, Limit, StormWanted
from api.cli.output.paging import say_more
from api.cli.output.render import short, show
from api.cli.output.sparkline import by_minute, curve
from api.cli.output.terminal import STYLES, print_facts, print_table, say, status_cell
from api.cli.output.times import ago, ago_short, span, to_the_second
from api.cli.responses import Document
from ledger.clock import parse_rfc3339

LEFT = {
    "succeeded": "succeeded again",
    "paused": "was paused",
    "tripped": "tripped",
    "deleted": "was deleted",
}
"""How a job left a storm, in words."""

OnlyOpen = Annotated[bool, typer.Option("--open", help="Only storms that are not over.")]


def list_storms(
    only_open: OnlyOpen = False,
    as_of: AsOfOption = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """List storms, newest first.

    A storm is a group of jobs that failed together for one reason.
    """
    query = {"open": only_open or None, "limit": limit, "cursor": cursor}
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        answer = client.request("GET", "/v1/storms", query=query | {"as_of": then.as_of})
    show(answer, as_json, partial(_print_storms, then=then))


def show_storm(
    wanted: StormWanted, as_of: AsOfOption = None, as_json: AsJson = False, data: DataFolder = None
) -> None:
    """Show one storm and its jobs.

    Failures per minute, jobs with their status, and the notices sent.
    """
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        path = f"/v1/storms/{quote(wanted, safe='')}"
        answer = client.request("GET", path, query={"as_of": then.as_of})
    show(answer, as_json, partial(_print_storm, then=then))


def _print_storms(document: Document, then: AsOf) -> None:
    now = then.now
    then.say()
    if not document["storms"]:
        say("No storms.", style="dim")
        return
    rows = [
        (
            storm["id"],
            _state(storm),
            ago_short(storm["first_failed_at"], now),
            _lasted(storm),
            str(storm["job_count"]),
            str(storm["failure_count"]),
            str(storm["trip_count"]),
            _standings(storm),
            storm["signature"],
        )
        for storm in document["storms"]
    ]
    job_cache = ["ID", "STATE", "BEGAN", ">LASTED", ">JOBS", ">FAILURES", ">TRIPS", "NOW", "CAUSE"]
    print_table(job_cache, rows)
    say_more(document, **then.pinned(document["position"]))


def _print_storm(document: Document, then: AsOf) -> None:
    storm, now = document["storm"], then.now
    then.say()
    first = storm["first_failure"]
    print_facts(
        [
            ("Storm", storm["id"]),
            ("State", _state(storm)),
            ("Cause", storm["signature"]),
            ("First failure", f"{first['job_name']}, {ago(first['recorded_at'], now)}"),
            ("Opened", f"{ago(storm['opened_at'], now)}, position {storm['opened_position']}"),
            ("Last failure", ago(storm["last_failed_at"], now)),
            *([("Over", ago(storm["over_at"], now))] if storm["over_at"] else []),
            ("Failures", f"{storm['failure_count']}, {storm['trip_count']} breakers tripped"),
            ("Jobs", Text(f"{storm['job_count']}: ").append_text(_standings(storm))),
            ("Fires lost", _lost(storm["fires_lost"])),
            ("By the minute", _course(storm)),
            ("Told", "\n".join(_told(one, now) for one in storm["told"]) or "nobody"),
        ]
    )
    say()
    first_at = parse_rfc3339(storm["first_failed_at"])
    rows = [_member(job, first_at) for job in storm["jobs"]]
    print_table(["ID", "NAME", "NOW", ">FAILURES", "FIRST", "LAST", "LEFT"], rows)


def _member(job: Document, first_at: datetime) -> tuple[str | Text, ...]:
    left = f"{LEFT[job['left_by']]} {_time(job['left_at'], first_at)}" if job["left_at"] else "-"
    return (
        short(job["id"]),
        job["name"] or "-",
        status_cell(job["status"] or "-"),
        str(job["failure_count"]),
        _time(job["first_failed_at"], first_at),
        _time(job["last_failed_at"], first_at),
        left,
    )


def _time(text: str, first_at: datetime) -> str:
    """The time of the day, and the day too where it is not that of the first failure (UTC)."""
    at = parse_rfc3339(text)
    return f"{at:%H:%M:%S}" if at.date() == first_at.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def _state(storm: Document) -> Text:
    return Text("open", STYLES["failed"]) if storm["is_open"] else Text("over", STYLES["completed"])


def _lasted(storm: Document) -> str:
    """From the first failure to the last."""
    first, last = (parse_rfc3339(storm[key]) for key in ("first_failed_at", "last_failed_at"))
    return span((last - first).total_seconds())


def _standings(storm: Document) -> Text:
    """Where its jobs stand now: `38 failed, 2 active`."""
    text = Text()
    for status, count in sorted(storm["jobs_by_status"].items(), key=lambda item: -item[1]):
        text.append(", " if text else "").append(f"{count} ").append_text(status_cell(status))
    return text


def _lost(lost: Document) -> str:
    """Slots that passed while its jobs were tripped."""
    least = "at least " if lost["at_least"] else ""
    still = (
        f", {lost['still_failed_jobs']} jobs are losing more" if lost["still_failed_jobs"] else ""
    )
    return f"{least}{lost['count']}{still}"


def _told(notice: Document, now: datetime) -> str:
    """One notice: of what, to whom, and how it went."""
    whom = " ".join(filter(None, (notice["channel"], notice["target"])))
    when = ago_short(notice["recorded_at"], now)
    return f"{notice['kind'].replace('_', ' ')} to {whom}, {when}: {notice['outcome']}"


def _course(storm: Document) -> str:
    """Its failures minute by minute, the minutes without one too."""
    minutes = storm["per_minute"]
    counts = by_minute((minute["minute"], minute["failure_count"]) for minute in minutes)
    first, last = to_the_second(minutes[0]["minute"]), to_the_second(minutes[-1]["minute"])
    return f"{curve(counts)}\n{first} to {last}, at most {max(counts)} a minute"

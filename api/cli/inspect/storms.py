"""storm list, storm show: which jobs failed together, since when, and whether it is over."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from rich.text import Text

from api.cli.connection.question import AsOf, Question, ShortListQuestion, print_page
from api.cli.options import StormWanted, switch, with_flags
from api.cli.output.render import short
from api.cli.output.sparkline import by_minute, curve
from api.cli.output.terminal import STYLES, print_facts, print_table, say, status_cell
from api.cli.output.times import ago, ago_short, span, to_the_second
from api.cli.responses import Document
from ledger.clock import parse_rfc3339
from ledger.plurals import counted

LEFT = {
    "succeeded": "succeeded again",
    "paused": "was paused",
    "tripped": "tripped",
    "deleted": "was deleted",
}
"""How a job left a storm."""

OnlyOpen = Annotated[bool, switch("--open", "Only open storms.")]


@with_flags
def list_storms(*, only_open: OnlyOpen = False, question: ShortListQuestion) -> None:
    """List storms, newest first.

    A storm is a group of jobs that failed together for one reason.
    """
    query = {"open": only_open or None}
    question.ask("/v1/storms", _print_storms, query=query)


@with_flags
def show_storm(wanted: StormWanted, question: Question) -> None:
    """Show one storm and its jobs.

    Failures per minute, jobs with their status, and the notices sent.
    """
    path = f"/v1/storms/{quote(wanted, safe='')}"
    question.ask(path, _print_storm)


def _print_storms(document: Document, as_of: AsOf) -> None:
    rows = [
        (
            storm["id"],
            _state(storm),
            ago_short(storm["first_failed_at"], as_of.now),
            _duration(storm),
            str(storm["job_count"]),
            str(storm["failure_count"]),
            str(storm["trip_count"]),
            _jobs_by_status(storm),
            storm["signature"],
        )
        for storm in document["storms"]
    ]
    columns = ["!ID", "STATE", "BEGAN", ">DURATION", ">JOBS", ">FAILURES", ">TRIPS", "NOW", "CAUSE"]
    print_page(document, as_of, columns, rows, empty="No storms.")


def _print_storm(document: Document, as_of: AsOf) -> None:
    storm, now = document["storm"], as_of.now
    as_of.print_heading()
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
            ("Jobs", Text(f"{storm['job_count']}: ").append_text(_jobs_by_status(storm))),
            ("Missed fires", _missed_fires(storm["fires_lost"])),
            ("Per minute", _failures_per_minute(storm)),
            ("Notified", "\n".join(_notice(one, now) for one in storm["told"]) or "-"),
        ]
    )
    say()
    first_at = parse_rfc3339(storm["first_failed_at"])
    rows = [_member(job, first_at) for job in storm["jobs"]]
    print_table(["!ID", "NAME", "NOW", ">FAILURES", "FIRST", "LAST", "LEFT"], rows)


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
    """The time of day (UTC), with the date when it is not that of the first failure."""
    at = parse_rfc3339(text)
    return f"{at:%H:%M:%S}" if at.date() == first_at.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def _state(storm: Document) -> Text:
    return Text("open", STYLES["failed"]) if storm["is_open"] else Text("over", STYLES["completed"])


def _duration(storm: Document) -> str:
    """The time from the first failure to the last."""
    first, last = (parse_rfc3339(storm[key]) for key in ("first_failed_at", "last_failed_at"))
    return span((last - first).total_seconds())


def _jobs_by_status(storm: Document) -> Text:
    """The present status of its jobs: `38 failed, 2 active`."""
    text = Text()
    for status, count in sorted(storm["jobs_by_status"].items(), key=lambda item: -item[1]):
        text.append(", " if text else "").append(f"{count} ").append_text(status_cell(status))
    return text


def _missed_fires(lost: Document) -> str:
    """Slots that its jobs missed while they were failed."""
    least = "at least " if lost["at_least"] else ""
    failed = lost["still_failed_jobs"]
    still = f", {counted(failed, 'job')} still missing more" if failed else ""
    return f"{least}{lost['count']}{still}"


def _notice(notice: Document, now: datetime) -> str:
    """One notice: its kind, channel, target, time and outcome."""
    channel = " ".join(filter(None, (notice["channel"], notice["target"])))
    when = ago_short(notice["recorded_at"], now)
    return f"{notice['kind'].replace('_', ' ')} to {channel}, {when}: {notice['outcome']}"


def _failures_per_minute(storm: Document) -> str:
    """Failures per minute as a curve, and the highest count."""
    minutes = storm["per_minute"]
    counts = by_minute((minute["minute"], minute["failure_count"]) for minute in minutes)
    first, last = to_the_second(minutes[0]["minute"]), to_the_second(minutes[-1]["minute"])
    return f"{curve(counts)}\n{first} to {last}, peak {max(counts)}/min"

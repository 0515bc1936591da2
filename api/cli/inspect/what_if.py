"""what-if: what would have tripped, failed and been resumed under another policy."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from api.cli.connection.client import ApiClient, given
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.jobs import schedule_flags as flags
from api.cli.options import AsJson, Cursor, DataFolder, Limit
from api.cli.output.paging import say_more
from api.cli.output.progress import busy
from api.cli.output.render import short, show
from api.cli.output.terminal import print_facts, print_table, say, status_cell, write
from api.cli.output.times import read_duration, read_moment
from api.cli.responses import Document
from api.cli.text import harmless
from ledger.clock import SystemClock

PATH = "/v1/what-if"
COUNTS = (
    ("Trips", "trips"),
    ("Failures", "failures"),
    ("Attempts", "attempts"),
    ("Resumes by hand", "manual_resumes"),
)
MAX_LOSSES_HELP = "Trip after so many lost runs in a row."
PROBE_HELP = "Half-open the breaker by itself after so long: 15m; never without it."

Jobs = Annotated[
    list[str] | None,
    typer.Option("--job", metavar="JOB", help="Only this job: id, prefix or name. Repeatable."),
]
Tag = Annotated[str | None, typer.Option("--tag", metavar="WORD", help="Only jobs with this tag.")]
NotCounting = Annotated[
    list[str] | None,
    typer.Option(
        "--not-counting", metavar="CLASS", help="Errors that do not move the streak. Repeatable."
    ),
]
MaxLosses = Annotated[int | None, typer.Option("--max-losses", metavar="N", help=MAX_LOSSES_HELP)]
ProbeAfter = Annotated[
    str | None, typer.Option("--probe-after", metavar="DURATION", help=PROBE_HELP)
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="MOMENT", help="As if it had come then; the beginning."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="MOMENT", help="Walk up to then; now.")
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print every job that differs as CSV.")]


def what_if(
    trip_after: flags.TripAfter = None,
    backoff: flags.Backoff = None,
    not_counting: NotCounting = None,
    max_losses: MaxLosses = None,
    probe_after: ProbeAfter = None,
    since: Since = None,
    until: Until = None,
    tag: Tag = None,
    jobs: Jobs = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Estimate the effect of another breaker policy.

    Recorded runs are walked again under the changed policy; nothing is changed.
    """
    policy = flags.read_policy(trip_after, backoff, None) or {}
    policy |= _other_keys(max_losses, probe_after)
    now = SystemClock().now()
    body = given(
        policy=policy,
        not_counts=not_counting,
        since=read_moment(since, "--since", now),
        until=read_moment(until, "--until", now),
        tag=tag,
        cursor=cursor,
        limit=limit,
    )
    with connect(Intent.READ, data) as client, busy("Walking what was recorded again"):
        if jobs:
            body["job_ids"] = [find_job_id(client, wanted) for wanted in jobs]
        if as_csv:
            _pour(client, body)
        else:
            show(client.request("POST", PATH, body=body), as_json, _print)


def _other_keys(max_losses: int | None, probe_after: str | None) -> dict[str, Any]:
    """The keys of a policy that only this command has flags for."""
    return given(
        max_losses=max_losses,
        probe_after_seconds=read_duration(probe_after, "--probe-after") if probe_after else None,
    )


def _pour(client: ApiClient, body: dict[str, Any]) -> None:
    """The table as it is, but harmless on a terminal."""
    is_watched = sys.stdout.isatty()
    with client.stream(PATH, body={**body, "format": "csv"}) as pieces:
        for piece in pieces:
            write("\n".join(map(harmless, piece.splitlines())) + "\n" if is_watched else piece)


def _print(document: Document) -> None:
    found = document["what_if"]
    say(found["text"], style="bold")
    known = found["differing_count"] - found["estimated_count"]
    print_facts(
        [
            *(
                (name, f"{found['recorded'][key]} → {found['what_if'][key]}")
                for name, key in COUNTS
            ),
            ("How sure", f"{known} jobs known, {found['estimated_count']} estimated"),
        ]
    )
    if document["jobs"]:
        say()
        job_cache = [
            "ID",
            "NAME",
            ">TRIPS",
            ">FAILURES",
            ">ATTEMPTS",
            ">RESUMES",
            "STATUS",
            "BASIS",
        ]
        print_table(job_cache, [_row(job) for job in document["jobs"]])
        say_more(document, since=found["since"] or None, until=found["until"])
    say()
    say(found["caveat"], style="dim")


def _row(job: Document) -> list[Any]:
    was, would = job["recorded"], job["what_if"]
    counts = [f"{was[key]} → {would[key]}" for _, key in COUNTS]
    status = status_cell(was["status"])
    if was["status"] != would["status"]:
        status = status.append(" → ").append_text(status_cell(would["status"]))
    return [short(job["job_id"]), job["job_name"], *counts, status, job["basis"]]

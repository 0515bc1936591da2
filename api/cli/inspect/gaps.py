"""gaps: the slots that jobs owed and did not run, and why."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

import typer

from api.cli.connection.as_of import AsOf, read_as_of
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.options import AsJson, AsOfOption, Cursor, DataFolder, Limit, OfJob
from api.cli.output.paging import say_more
from api.cli.output.render import short, show
from api.cli.output.terminal import Cell, print_table, say
from api.cli.output.times import ago_short, read_past
from api.cli.responses import Document

Tag = Annotated[str | None, typer.Option("--tag", metavar="WORD", help="Only jobs with this tag.")]
Cause = Annotated[
    str | None,
    typer.Option(
        "--cause",
        metavar="WORD",
        help="paused, failed, disabled, overlap, backoff, delayed, downtime, no_worker, amended.",
    ),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="INSTANT", help="Missed since, or 2h ago: 2h.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="INSTANT", help="Missed until, or 2h ago: 2h.")
]


def list_gaps(
    job: OfJob = None,
    tag: Tag = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    as_of: AsOfOption = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """List spans of missed runs with their cause.

    Open gaps come first, then the newest.
    """
    query = {
        "tag": tag,
        "cause": cause,
        "since": read_past(since, "--since"),
        "until": read_past(until, "--until"),
        "limit": limit,
        "cursor": cursor,
    }
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        query["job"] = find_job_id(client, job, as_of=then.as_of) if job is not None else None
        answer = client.request("GET", "/v1/gaps", query=query | {"as_of": then.as_of})
    show(answer, as_json, partial(_print_gaps, then=then))


def _print_gaps(document: Document, then: AsOf) -> None:
    now = then.now
    then.say()
    gaps = [*document["open"], *document["gaps"]]
    if not gaps:
        say("No slot was missed.", style="dim")
        return
    job_cache = ["JOB", "NAME", "CAUSE", ">SLOTS", "FIRST", "LAST", ">RECORDED"]
    print_table(job_cache, [_row(gap, now) for gap in gaps])
    untold = document["open_count"] - len(document["open"])
    if document["open"] and untold:
        say(f"{untold} more are still open: give a larger --limit.", style="dim")
    say_more(document, **then.pinned(document["position"]))


def _row(gap: Document, now: datetime) -> tuple[Cell, ...]:
    count = f"{gap['count']}{'+' if gap['capped'] else ''}"
    return (
        short(gap["job_id"]),
        gap["job_name"] or "-",
        gap["cause"],
        count,
        ago_short(gap["first"], now),
        ago_short(gap["last"], now),
        str(gap["position"]) if gap["position"] is not None else "still open",
    )

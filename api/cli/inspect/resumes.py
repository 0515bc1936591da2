"""resumes: which jobs were forced back, and whether it held."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer
from rich.text import Text

from api.cli.connection.as_of import AsOf, read_as_of
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.options import AsJson, AsOfOption, Cursor, DataFolder, Limit, OfJob
from api.cli.output.paging import say_more
from api.cli.output.render import short, show
from api.cli.output.terminal import print_table, say
from api.cli.output.times import ago_short, read_past
from api.cli.responses import Document

STYLES = {"held": "green", "re_tripped": "bold red", "paused_again": "yellow", "deleted": "dim"}

Actor = Annotated[str | None, typer.Option("--actor", metavar="NAME", help="Forced by whom.")]
FailureClass = Annotated[
    str | None, typer.Option("--failure-class", help="What tripped them: rate_limited, …")
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="INSTANT", help="Forced since, or 2h ago: 2h.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="INSTANT", help="Forced until, or 2h ago: 2h.")
]
Outcome = Annotated[
    str | None,
    typer.Option("--outcome", help="held, re_tripped, paused_again, deleted or open."),
]


def list_resumes(
    actor: Actor = None,
    failure_class: FailureClass = None,
    job: OfJob = None,
    since: Since = None,
    until: Until = None,
    outcome: Outcome = None,
    as_of: AsOfOption = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """List forced resumes and how many held."""
    query = {
        "actor": actor,
        "failure_class": failure_class,
        "since": read_past(since, "--since"),
        "until": read_past(until, "--until"),
        "outcome": outcome,
        "limit": limit,
        "cursor": cursor,
    }
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        query["job"] = find_job_id(client, job, as_of=then.as_of) if job is not None else None
        answer = client.request("GET", "/v1/resumes", query=query | {"as_of": then.as_of})
    show(answer, as_json, partial(_print_resumes, then=then))


def _print_resumes(document: Document, then: AsOf) -> None:
    now = then.now
    then.say()
    if not document["resumes"]:
        say("Nobody forced a job back.", style="dim")
        return
    rows = [
        (
            str(one["position"]),
            ago_short(one["recorded_at"], now),
            short(one["job_id"]),
            one["job_name"] or "-",
            one["actor"]["id"],
            one["failure_class"],
            _outcome(one),
            _later(one, now),
            one["reason"] or "",
        )
        for one in document["resumes"]
    ]
    job_cache = [">POSITION", "WHEN", "JOB", "NAME", "WHO", "AFTER", "OUTCOME", "NEXT TRIP", "~WHY"]
    print_table(job_cache, rows)
    say()
    _print_rates(document["rates"])
    say_more(document, **then.pinned(document["position"]))


def _outcome(one: Document) -> Text:
    runs = f" after {one['run_count']} runs" if one["outcome"] == "re_tripped" else ""
    return Text(f"{one['outcome']}{runs}", style=STYLES.get(one["outcome"], ""))


def _later(one: Document, now: datetime) -> str:
    return ago_short(one["next_trip_at"], now) if one["outcome"] != "re_tripped" else ""


def _print_rates(rates: dict[str, Any]) -> None:
    parts = [
        ("in all", rates["all"]),
        *((f"after {part['failure_class']}", part) for part in rates["by_failure_class"]),
        *((f"by {part['actor']}", part) for part in rates["by_actor"]),
    ]
    rows = [
        (name, str(part["count"]), str(part["decided_count"]), str(part["held_count"]), _rate(part))
        for name, part in parts
    ]
    print_table(["FORCED RESUMES", ">COUNT", ">DECIDED", ">HELD", ">RATE"], rows)


def _rate(part: Document) -> str:
    return f"{part['rate']:.0%}" if part["rate"] is not None else "-"

"""list, show, runs: what is, and how one job ran."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from api.cli.connection.as_of import AsOf, read_as_of
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.options import AsJson, AsOfOption, Cursor, DataFolder, JobWanted, Limit
from api.cli.output import event_text as event_text
from api.cli.output.paging import say_more
from api.cli.output.render import job_facts, next_text, schedule_text, short, show, status_text
from api.cli.output.terminal import is_narrow, print_lines, print_table, say, status_cell
from api.cli.output.times import ago_short, distance, took
from api.cli.responses import Document
from ledger.clock import parse_rfc3339

Status = Annotated[
    str | None, typer.Option("--status", help="active, paused, failed or completed.")
]
Tag = Annotated[str | None, typer.Option("--tag", metavar="WORD", help="Only jobs with this tag.")]
Words = Annotated[str | None, typer.Option("--name", metavar="WORDS", help="Words in the name.")]
FailureClass = Annotated[
    str | None, typer.Option("--failure-class", help="How the last run failed: rate_limited, …")
]


def list_jobs(
    status: Status = None,
    tag: Tag = None,
    name: Words = None,
    failure_class: FailureClass = None,
    as_of: AsOfOption = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """List jobs with their status, next and last run."""
    query = {
        "status": status,
        "tag": tag,
        "q": name,
        "failure_class": failure_class,
        "limit": limit,
        "cursor": cursor,
    }
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        answer = client.request("GET", "/v1/jobs", query=query | {"as_of": then.as_of})
    show(answer, as_json, partial(_print_jobs, then=then))


def show_job(
    wanted: JobWanted, as_of: AsOfOption = None, as_json: AsJson = False, data: DataFolder = None
) -> None:
    """Show everything about one job."""
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        job_id = find_job_id(client, wanted, as_of=then.as_of)
        answer = client.request("GET", f"/v1/jobs/{job_id}", query={"as_of": then.as_of})
    show(answer, as_json, partial(_print_job, then=then))


def runs(
    wanted: JobWanted,
    as_of: AsOfOption = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """List the runs of one job, newest first."""
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        job_id = find_job_id(client, wanted, as_of=then.as_of)
        query = {"as_of": then.as_of, "limit": limit, "cursor": cursor}
        answer = client.request("GET", f"/v1/jobs/{job_id}/runs", query=query)
    show(answer, as_json, partial(_print_runs, then=then))


def _print_job(document: Document, then: AsOf) -> None:
    then.say()
    job_facts(document["job"], then.now)


def _print_jobs(document: Document, then: AsOf) -> None:
    now = then.now
    then.say()
    if not document["jobs"]:
        say("No jobs.", style="dim")
        return
    narrow = is_narrow()
    rows = [
        (
            short(job["id"]),
            job["name"],
            status_text(job),
            schedule_text(job["schedule"]),
            next_text(job, now, is_narrow=narrow),
            _last(job, now),
        )
        for job in document["jobs"]
    ]
    print_table(["ID", "NAME", "STATUS", "SCHEDULE", "NEXT RUN", "LAST RUN"], rows)
    say_more(document, **then.pinned(document["position"]))


def _last(job: Document, now: datetime) -> Text:
    """How the last run ended and when, and how many errors there were in a row."""
    run = job["last_run"]
    if run is None:
        return Text("-")
    ago = distance(parse_rfc3339(run["started_at"]), now)
    streak = f", {job['consecutive_errors']} in a row" if job["consecutive_errors"] > 1 else ""
    return Text().append_text(status_cell(run["status"])).append(f" {ago}{streak}")


def _print_runs(document: Document, then: AsOf) -> None:
    then.say()
    if not document["runs"]:
        say("It has not run.", style="dim")
        return
    rows = [
        (
            ago_short(run["started_at"], then.now),
            status_cell(run["status"]),
            run["trigger"],
            str(run["attempt"]),
            took(run["duration_ms"]),
            (run["error"] or run["output"] or "")[: event_text.LONGEST],
        )
        for run in document["runs"]
    ]
    print_lines(["STARTED", "STATUS", "TRIGGER", ">ATTEMPT", ">TOOK", "ERROR OR OUTPUT"], rows)
    say_more(document, **then.pinned(document["position"]))

"""what-if: recorded runs under another policy."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from api.cli.connection.client import ApiClient, given
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.jobs import schedule_flags as flags
from api.cli.options import AsJson, Cursor, DataFolder, Limit, Tag, flag, switch
from api.cli.output.paging import say_more
from api.cli.output.progress import busy
from api.cli.output.render import short, show
from api.cli.output.terminal import print_facts, print_table, say, status_cell, write
from api.cli.output.times import read_duration, read_when
from api.cli.responses import Document
from api.cli.text import harmless
from ledger.clock import SystemClock
from ledger.plurals import counted

PATH = "/v1/what-if"
COUNTS = (
    ("Trips", "trips"),
    ("Failures", "failures"),
    ("Attempts", "attempts"),
    ("Manual resumes", "manual_resumes"),
)
MAX_LOSSES_HELP = "Consecutive lost runs that trip the breaker."
PROBE_HELP = "Half-open the breaker after this time: 15m."

Jobs = Annotated[
    list[str] | None, flag("--job", "JOB", "Only this job: id, prefix or name; repeatable.")
]
NotCounting = Annotated[
    list[str] | None,
    flag("--not-counting", "CLASS", "Failure class that does not count as an error; repeatable."),
]
MaxLosses = Annotated[int | None, flag("--max-losses", "N", MAX_LOSSES_HELP)]
ProbeAfter = Annotated[
    str | None, flag("--probe-after", "DURATION", PROBE_HELP, show_default="never")
]
Since = Annotated[
    str | None, flag("--since", "WHEN", "When the policy takes effect.", show_default="the start")
]
Until = Annotated[str | None, flag("--until", "WHEN", "End of the simulation.", show_default="now")]
AsCsv = Annotated[bool, switch("--csv", "Print every differing job as CSV.")]


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
    policy |= _other_fields(max_losses, probe_after)
    now = SystemClock().now()
    body = given(
        policy=policy,
        not_counts=not_counting,
        since=read_when(since, "--since", now),
        until=read_when(until, "--until", now),
        tag=tag,
        cursor=cursor,
        limit=limit,
    )
    with connect(Intent.READ, data) as client, busy("Simulating"):
        if jobs:
            body["job_ids"] = [find_job_id(client, wanted) for wanted in jobs]
        if as_csv:
            _print_csv(client, body)
        else:
            show(client.request("POST", PATH, body=body), as_json, _print)


def _other_fields(max_losses: int | None, probe_after: str | None) -> dict[str, Any]:
    """The fields of a policy that only this command has flags for."""
    return given(
        max_losses=max_losses,
        probe_after_seconds=read_duration(probe_after, "--probe-after") if probe_after else None,
    )


def _print_csv(client: ApiClient, body: dict[str, Any]) -> None:
    """Control characters are written out on a terminal only, so that a file stays exact."""
    is_terminal = sys.stdout.isatty()
    with client.stream(PATH, body={**body, "format": "csv"}) as pieces:
        for piece in pieces:
            write("\n".join(map(harmless, piece.splitlines())) + "\n" if is_terminal else piece)


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
            ("Basis", f"{counted(known, 'job')} known, {found['estimated_count']} estimated"),
        ]
    )
    if document["jobs"]:
        say()
        columns = ["ID", "NAME", ">TRIPS", ">FAILURES", ">ATTEMPTS", ">RESUMES", "STATUS", "BASIS"]
        print_table(columns, [_row(job) for job in document["jobs"]])
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

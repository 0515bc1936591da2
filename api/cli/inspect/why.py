"""why: why a job runs or does not, now or at an earlier time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.options import AsJson, DataFolder, JobWanted, flag
from api.cli.output.render import short, show
from api.cli.output.terminal import print_lines, say
from api.cli.output.times import ago, ago_short, read_when
from api.cli.responses import Document
from ledger.clock import SystemClock

At = Annotated[
    str | None, flag("--at", "WHEN", "At a position, an instant, or 2h ago (2h); default: now.")
]


def why(wanted: JobWanted, at: At = None, as_json: AsJson = False, data: DataFolder = None) -> None:
    """Explain why a job is running, or is not.

    Names the events that led to it, and the commands that would change it.
    """
    now = SystemClock().now()
    query = {"at": read_when(at, "--at", now)}
    with connect(Intent.READ, data) as client:
        path = f"/v1/jobs/{find_job_id(client, wanted)}/why"
        answer = client.request("GET", path, query=query)
    show(answer, as_json, lambda document: _print_why(document["why"], now, is_past=at is not None))


def _print_why(found: Document, now: datetime, *, is_past: bool) -> None:
    when = f" at {ago(found['at'], now)}" if is_past else ""
    say(f"{found['job_name']} ({short(found['job_id'])}){when}: {found['answer']}", style="bold")
    say(found["text"])
    if found["chain"]:
        say()
        print_lines([">POSITION", "WHEN", "WHAT"], [_row(link, now) for link in found["chain"]])
    if found["would_run"]:
        say()
    for remedy in found["would_run"]:
        say(f"→ {remedy['text']}")
        if "command" in remedy:
            say(f"    {remedy['command']}", style="cyan")


def _row(link: Document, now: datetime) -> tuple[str, str, str]:
    return str(link["position"]), ago_short(link["recorded_at"], now), str(link["text"])

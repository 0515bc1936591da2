"""summary: how the fleet stands, in a few lines."""

from __future__ import annotations

from functools import partial

from api.cli.connection.as_of import AsOf, read_as_of
from api.cli.connection.connect import Intent, connect
from api.cli.options import AsJson, AsOfOption, DataFolder
from api.cli.output.render import short, show
from api.cli.output.terminal import print_facts, print_lines, say
from api.cli.output.times import ago, ago_short
from api.cli.responses import Document

STATUSES = ("active", "paused", "failed", "completed")


def summary(as_of: AsOfOption = None, as_json: AsJson = False, data: DataFolder = None) -> None:
    """Show job counts, the next run, recent failures."""
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        answer = client.request("GET", "/v1/summary", query={"as_of": then.as_of})
    show(answer, as_json, partial(_print, then=then))


def _print(document: Document, then: AsOf) -> None:
    found = document["summary"]
    then.say()
    counts = ", ".join(f"{found[status]} {status}" for status in STATUSES)
    disabled = f"; {found['disabled']} of them disabled" if found["disabled"] else ""
    print_facts(
        [
            ("Jobs", f"{found['total']}: {counts}{disabled}"),
            ("Next run", ago(found["next_run_at"], then.now)),
        ]
    )
    if not found["recent_failures"]:
        say("No run has failed.", style="dim")
        return
    say()
    rows = [
        (
            ago_short(failure["failed_at"], then.now),
            short(failure["job_id"]),
            failure["name"] or "-",
            failure["failure_class"],
            failure["error"] or "",
        )
        for failure in found["recent_failures"]
    ]
    print_lines(["FAILED", "JOB", "NAME", "CLASS", "ERROR"], rows)

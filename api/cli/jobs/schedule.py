"""schedule, amend, preview: create and change jobs, and try a schedule."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from api.cli.connection.client import given
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.exit_codes import Misused
from api.cli.jobs import schedule_flags as flags
from api.cli.jobs.schedule_flags import JobFlags
from api.cli.options import (
    AsJson,
    DataFolder,
    IfRevision,
    JobWanted,
    argument,
    flag,
    switch,
    with_flags,
)
from api.cli.output.render import changed_job, show
from api.cli.output.terminal import say
from api.cli.output.times import ago, read_instant
from api.cli.responses import Document
from ledger.clock import SystemClock

Name = Annotated[str, argument("NAME", "Unique name of the job.")]
NewName = Annotated[str | None, flag("--name", "TEXT", "New name.")]
Disabled = Annotated[
    bool, switch("--disabled", "Create it disabled: it does not fire until enabled.")
]
Enabled = Annotated[bool | None, switch("--enable/--disable", "Enable or disable the job.")]
DeleteAfterRun = Annotated[
    bool, switch("--delete-after-run", "Delete the job after its first successful run.")
]
Patch = Annotated[str | None, flag("--patch", "JSON", "Any fields, as an RFC 7396 merge patch.")]
After = Annotated[str | None, flag("--after", "INSTANT", "Start of the preview (default: now).")]
Count = Annotated[int, flag("--count", "N", "Number of fires to show.", min=1, max=100)]


@with_flags
def schedule(
    name: Name,
    job: JobFlags,
    disabled: Disabled = False,
    delete_after_run: DeleteAfterRun = False,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Create a job.

    When it runs: --every, --at or --cron. Without an executor flag the agent runs it.
    """
    now = SystemClock().now()
    fields = job.fields(now)
    flags.require_schedule(fields.get("schedule"))
    spec = fields | given(
        name=name, enabled=False if disabled else None, delete_after_run=delete_after_run or None
    )
    with connect(Intent.BEGIN, data) as client:
        answer = client.request("POST", "/v1/jobs", body=spec)
    changed_job(answer, as_json, "scheduled", now)


@with_flags
def amend(
    wanted: JobWanted,
    job: JobFlags,
    name: NewName = None,
    enabled: Enabled = None,
    patch: Patch = None,
    if_revision: IfRevision = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Change a job; its id, history and status stay.

    --tag replaces all tags.
    """
    now = SystemClock().now()
    changes = _read_patch(patch) | given(name=name, enabled=enabled) | job.fields(now)
    if not changes:
        raise Misused("Nothing to change: name at least one field, such as --every 10m.")
    with connect(Intent.CHANGE, data) as client:
        path = f"/v1/jobs/{find_job_id(client, wanted)}"
        answer = client.request("PATCH", path, body=changes, if_revision=if_revision)
    changed_job(answer, as_json, "amended", now)


def preview(
    every: flags.Every = None,
    at: flags.At = None,
    cron: flags.CronText = None,
    tz: flags.Zone = None,
    after: After = None,
    count: Count = 5,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Show when a schedule would fire; create nothing."""
    now = SystemClock().now()
    body = given(
        schedule=flags.require_schedule(flags.read_schedule(every, at, cron, tz, now)),
        after=read_instant(after, "--after", now) if after is not None else None,
        count=count,
    )
    with connect(Intent.READ, data) as client:
        answer = client.request("POST", "/v1/schedules/preview", body=body)
    show(answer, as_json, partial(_print_fires, now=now))


def _print_fires(document: Document, now: datetime) -> None:
    say(document["text"])
    for at in document["fires"]:
        say(f"  {ago(at, now)}")


def _read_patch(patch: str | None) -> dict[str, Any]:
    if patch is None:
        return {}
    try:
        changes = json.loads(patch, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Misused("--patch is not JSON; write for example '{\"enabled\": false}'.") from None
    if not isinstance(changes, dict):
        raise Misused("--patch must be a JSON object, for example '{\"enabled\": false}'.")
    return changes


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not valid JSON")

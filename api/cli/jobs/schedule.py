"""schedule, amend, preview: when jobs run."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer

from api.cli.connection.client import given
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.exit_codes import Misused
from api.cli.jobs import schedule_flags as flags
from api.cli.jobs.schedule_flags import read_executor, read_policy, read_schedule, read_task
from api.cli.options import AsJson, DataFolder, IfRevision, JobWanted
from api.cli.output.render import changed_job, show
from api.cli.output.terminal import say
from api.cli.output.times import ago, read_instant
from api.cli.responses import Document
from ledger.clock import SystemClock

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the job is called, once only.")]
NewName = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="A new name.")]
Disabled = Annotated[bool, typer.Option("--disabled", help="It does not fire until enabled.")]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Let it fire, or not.")]
DeleteAfterRun = Annotated[
    bool, typer.Option("--delete-after-run", help="Gone after its first success.")
]
Patch = Annotated[
    str | None,
    typer.Option("--patch", metavar="JSON", help="Any fields, as an RFC 7396 merge patch."),
]
After = Annotated[
    str | None, typer.Option("--after", metavar="INSTANT", help="From when on; now, if left out.")
]
Count = Annotated[int, typer.Option("--count", metavar="N", min=1, max=100, help="How many fires.")]


def schedule(
    name: Name,
    every: flags.Every = None,
    at: flags.At = None,
    cron: flags.CronText = None,
    tz: flags.Zone = None,
    task: flags.Task = None,
    http: flags.Http = None,
    command: flags.CommandLine = None,
    queue: flags.Queue = None,
    handler: flags.HandlerName = None,
    noop: flags.Noop = False,
    deliver: flags.Deliver = None,
    tag: flags.Tags = None,
    description: flags.Description = None,
    trip_after: flags.TripAfter = None,
    backoff: flags.Backoff = None,
    timeout: flags.Timeout = None,
    disabled: Disabled = False,
    delete_after_run: DeleteAfterRun = False,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Create a job.

    When it runs: --every, --at or --cron. Without an executor flag the agent runs it.
    """
    now = SystemClock().now()
    spec = {"name": name} | given(
        schedule=flags.require_schedule(read_schedule(every, at, cron, tz, now)),
        task=read_task(task),
        executor=read_executor(http, command, queue, handler, noop),
        delivery=flags.read_delivery(deliver),
        tags=flags.tags_of(tag),
        description=description,
        policy=read_policy(trip_after, backoff, timeout),
        enabled=False if disabled else None,
        delete_after_run=delete_after_run or None,
    )
    with connect(Intent.BEGIN, data) as client:
        answer = client.request("POST", "/v1/jobs", body=spec)
    changed_job(answer, as_json, "scheduled", now)


def amend(
    wanted: JobWanted,
    name: NewName = None,
    every: flags.Every = None,
    at: flags.At = None,
    cron: flags.CronText = None,
    tz: flags.Zone = None,
    task: flags.Task = None,
    http: flags.Http = None,
    command: flags.CommandLine = None,
    queue: flags.Queue = None,
    handler: flags.HandlerName = None,
    noop: flags.Noop = False,
    deliver: flags.Deliver = None,
    tag: flags.Tags = None,
    description: flags.Description = None,
    trip_after: flags.TripAfter = None,
    backoff: flags.Backoff = None,
    timeout: flags.Timeout = None,
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
    changes = _read_patch(patch) | given(
        name=name,
        schedule=read_schedule(every, at, cron, tz, now),
        task=read_task(task),
        executor=read_executor(http, command, queue, handler, noop),
        delivery=flags.read_delivery(deliver),
        tags=flags.tags_of(tag),
        description=description,
        policy=read_policy(trip_after, backoff, timeout),
        enabled=enabled,
    )
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
        schedule=flags.require_schedule(read_schedule(every, at, cron, tz, now)),
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
    raise ValueError(f"{word} is no JSON")

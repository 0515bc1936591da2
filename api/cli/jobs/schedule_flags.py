"""From the flags of schedule, amend and preview to the maps that the API takes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.exit_codes import Misused
from api.cli.output.times import read_duration, read_instant, shown

LARGEST_TASK_BYTES = 1024 * 1024
"""More of a file is not even read; the ledger's own limit on a task is lower and says so."""

Every = Annotated[
    str | None, typer.Option("--every", metavar="DURATION", help="Repeat: 90s, 5m, 2h, 1d.")
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="INSTANT", help="Once: 2026-12-01T09:00:00Z, or 2h from now."),
]
CronText = Annotated[
    str | None, typer.Option("--cron", metavar="FIELDS", help="Five fields: '*/5 * * * *'.")
]
Zone = Annotated[
    str | None, typer.Option("--tz", metavar="ZONE", help="The zone of --cron: Europe/Berlin.")
]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="TEXT|@FILE|-", help="What to do; - reads standard input."),
]
Http = Annotated[str | None, typer.Option("--http", metavar="URL", help="Post the task there.")]
CommandLine = Annotated[
    str | None,
    typer.Option(
        "--command", metavar="ARGV", help="Run a program; split into arguments, no shell."
    ),
]
Noop = Annotated[bool, typer.Option("--noop", help="Do nothing, successfully.")]
Queue = Annotated[
    str | None,
    typer.Option("--queue", metavar="NAME", help="Leave the runs to workers of a queue."),
]
HandlerName = Annotated[
    str | None, typer.Option("--handler", metavar="NAME", help="Call a registered Python function.")
]
Deliver = Annotated[
    str | None,
    typer.Option("--deliver", metavar="CHANNEL[:TARGET]", help="Where results go: slack:owner."),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="WORD", help="May be given several times.")
]
TripAfter = Annotated[
    int | None,
    typer.Option("--trip-after", metavar="N", min=1, help="Errors in a row that trip the breaker."),
]
Backoff = Annotated[
    str | None,
    typer.Option("--backoff", metavar="LIST", help="Waits after errors, in seconds: 1,2,5."),
]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="DURATION", help="How long a run may take.")
]
Description = Annotated[
    str | None, typer.Option("--description", metavar="TEXT", help="What the job is for.")
]


def read_schedule(
    every: str | None, at: str | None, cron: str | None, tz: str | None, now: datetime
) -> dict[str, Any] | None:
    """The schedule that one of the flags asks for, or None; Misused when two do."""
    if sum(flag is not None for flag in (every, at, cron)) > 1:
        raise Misused("Give one of --every, --at and --cron, not several.")
    if tz is not None and cron is None:
        raise Misused("--tz is the zone of --cron: give both, or neither.")
    if every is not None:
        return {"kind": "every", "interval_seconds": _whole(read_duration(every, "--every"))}
    if at is not None:
        return {"kind": "at", "at": read_instant(at, "--at", now)}
    if cron is not None:
        return {"kind": "cron", "expr": cron} | ({"tz": tz} if tz is not None else {})
    return None


def require_schedule(schedule: dict[str, Any] | None) -> dict[str, Any]:
    """The schedule, which must be there."""
    if schedule is None:
        raise Misused("When shall it run? Give one of --every 5m, --at INSTANT, --cron FIELDS.")
    return schedule


def read_executor(
    http: str | None, command: str | None, queue: str | None, handler: str | None, noop: bool
) -> dict[str, Any] | None:
    """Who runs the job, or None for the agent; Misused when two flags disagree."""
    asked = [
        {"kind": "http", "url": http} if http is not None else None,
        {"kind": "command", "argv": _split(command)} if command is not None else None,
        {"kind": "worker", "queue": queue} if queue is not None else None,
        {"kind": "python", "handler": handler} if handler is not None else None,
        {"kind": "noop"} if noop else None,
    ]
    wanted = [executor for executor in asked if executor is not None]
    if len(wanted) > 1:
        raise Misused("Give one of --http, --command, --queue, --handler and --noop, not several.")
    return wanted[0] if wanted else None


def read_delivery(deliver: str | None) -> dict[str, Any] | None:
    """Where results go, or None when the flag was not given."""
    if deliver is None:
        return None
    channel, _, target = deliver.partition(":")
    return {"channel": channel} | ({"target": target} if target else {})


def read_policy(
    trip_after: int | None, backoff: str | None, timeout: str | None
) -> dict[str, Any] | None:
    """The fields of the policy that flags name, or None."""
    policy: dict[str, Any] = {}
    if trip_after is not None:
        policy["trip_after"] = trip_after
    if backoff is not None:
        steps = [step.strip() for step in backoff.split(",")]
        policy["backoff_seconds"] = [_whole(read_duration(step, "--backoff")) for step in steps]
    if timeout is not None:
        policy["timeout_seconds"] = _whole(read_duration(timeout, "--timeout"))
    return policy or None


def read_task(task: str | None) -> str | None:
    """The text itself, the content of `@file`, or standard input for `-`."""
    if task == "-":
        return _decoded(sys.stdin.buffer.read(LARGEST_TASK_BYTES), "standard input")
    if task is None or not task.startswith("@"):
        return task
    path = Path(task[1:])
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_TASK_BYTES)
    except OSError as error:
        raise Misused(f"--task: {shown(str(path))} cannot be read: {error.strerror}.") from None
    return _decoded(content, shown(str(path)))


def tags_of(tags: Sequence[str] | None) -> list[str] | None:
    """The tags, or None when the flag was not given."""
    return list(tags) if tags else None


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Misused(f"--task: {where} is not UTF-8 text.") from None


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        why = str(error).lower()
        raise Misused(f"--command: {shown(command)} cannot be split: {why}.") from None


def _whole(seconds: float) -> float:
    return int(seconds) if float(seconds).is_integer() else seconds

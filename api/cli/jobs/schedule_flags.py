"""The flags of schedule, amend and preview, and the fields of the API that they mean."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from api.cli.connection.client import given
from api.cli.exit_codes import Misused
from api.cli.options import flag, switch
from api.cli.output.times import read_duration, read_instant, shown

LARGEST_TASK_BYTES = 1024 * 1024
"""The part of a task file that is read; the ledger's own limit is lower and names itself."""

Every = Annotated[
    str | None, flag("--every", "DURATION", "Repeat at this interval: 90s, 5m, 2h, 1d.")
]
At = Annotated[str | None, flag("--at", "INSTANT", "Run once: 2026-12-01T09:00:00Z, or in 2h.")]
CronText = Annotated[str | None, flag("--cron", "FIELDS", "Five cron fields: '*/5 * * * *'.")]
Zone = Annotated[
    str | None, flag("--tz", "ZONE", "Time zone of --cron: Europe/Berlin.", show_default="UTC")
]
Task = Annotated[str | None, flag("--task", "TEXT|@FILE|-", "Task text; - reads standard input.")]
Http = Annotated[str | None, flag("--http", "URL", "POST the task to this URL.")]
CommandLine = Annotated[
    str | None, flag("--command", "ARGV", "Run a program; split into arguments, no shell.")
]
Noop = Annotated[bool, switch("--noop", "Do nothing and succeed.")]
Queue = Annotated[
    str | None, flag("--queue", "NAME", "Let workers of this queue execute the runs.")
]
HandlerName = Annotated[str | None, flag("--handler", "NAME", "Call a registered Python function.")]
Deliver = Annotated[
    str | None, flag("--deliver", "CHANNEL[:TARGET]", "Send results there: slack:owner.")
]
Tags = Annotated[list[str] | None, flag("--tag", "TAG", "Tag of the job; repeatable.")]
TripAfter = Annotated[
    int | None, flag("--trip-after", "N", "Consecutive errors that trip the breaker.", min=1)
]
Backoff = Annotated[str | None, flag("--backoff", "LIST", "Seconds to wait before retries: 1,2,5.")]
Timeout = Annotated[str | None, flag("--timeout", "DURATION", "Time limit of one run.")]
Description = Annotated[str | None, flag("--description", "TEXT", "Description of the job.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFlags:
    """The flags that schedule and amend share."""

    every: Every = None
    at: At = None
    cron: CronText = None
    tz: Zone = None
    task: Task = None
    http: Http = None
    command: CommandLine = None
    queue: Queue = None
    handler: HandlerName = None
    noop: Noop = False
    deliver: Deliver = None
    tag: Tags = None
    description: Description = None
    trip_after: TripAfter = None
    backoff: Backoff = None
    timeout: Timeout = None

    def fields(self, now: datetime) -> dict[str, Any]:
        """The fields of a job that were given, as the API takes them. Raises Misused."""
        return given(
            schedule=read_schedule(self.every, self.at, self.cron, self.tz, now),
            task=read_task(self.task),
            executor=self._executor(),
            delivery=read_delivery(self.deliver),
            tags=list(self.tag) if self.tag else None,
            description=self.description,
            policy=read_policy(self.trip_after, self.backoff, self.timeout),
        )

    def _executor(self) -> dict[str, Any] | None:
        """What executes the job, or None for the agent."""
        asked = [
            {"kind": "http", "url": self.http} if self.http is not None else None,
            {"kind": "command", "argv": _split(self.command)} if self.command is not None else None,
            {"kind": "worker", "queue": self.queue} if self.queue is not None else None,
            {"kind": "python", "handler": self.handler} if self.handler is not None else None,
            {"kind": "noop"} if self.noop else None,
        ]
        wanted = [executor for executor in asked if executor is not None]
        if len(wanted) > 1:
            raise Misused(
                "Give one of --http, --command, --queue, --handler and --noop, not several."
            )
        return wanted[0] if wanted else None


def read_schedule(
    every: str | None, at: str | None, cron: str | None, tz: str | None, now: datetime
) -> dict[str, Any] | None:
    """The schedule that was given, or None. Raises Misused when there are two."""
    if sum(flag is not None for flag in (every, at, cron)) > 1:
        raise Misused("Give one of --every, --at and --cron, not several.")
    if tz is not None and cron is None:
        raise Misused("--tz is the time zone of --cron: give both, or neither.")
    if every is not None:
        return {"kind": "every", "interval_seconds": _whole(read_duration(every, "--every"))}
    if at is not None:
        return {"kind": "at", "at": read_instant(at, "--at", now)}
    if cron is not None:
        return {"kind": "cron", "expr": cron} | ({"tz": tz} if tz is not None else {})
    return None


def require_schedule(schedule: dict[str, Any] | None) -> dict[str, Any]:
    """The schedule. Raises Misused when there is none."""
    if schedule is None:
        raise Misused("A schedule is needed: give one of --every 5m, --at INSTANT, --cron FIELDS.")
    return schedule


def read_delivery(deliver: str | None) -> dict[str, Any] | None:
    """Where results are sent, or None."""
    if deliver is None:
        return None
    channel, _, target = deliver.partition(":")
    return {"channel": channel} | ({"target": target} if target else {})


def read_policy(
    trip_after: int | None, backoff: str | None, timeout: str | None
) -> dict[str, Any] | None:
    """The fields of the policy that were given, or None."""
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

"""Prints answers of the API: as JSON for programs, or rendered for people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import orjson
from rich.text import Text

from api.cli.output.terminal import print_facts, say, status_cell, write
from api.cli.output.times import ago, ago_short, interval, until
from api.cli.responses import ApiResponse, Document
from api.cli.text import escaped_json, harmless
from ledger.clock import parse_rfc3339

SHORT_ID = 8
"""Characters of an id that tables show; commands accept them."""


def show(answer: ApiResponse, as_json: bool, render: Callable[[Document], None]) -> None:
    """Print the API's answer unchanged for programs, or rendered for people."""
    if as_json:
        write_document(answer.text)
    else:
        render(answer.document)


def write_document(text: str) -> None:
    """Print one JSON document."""
    write(f"{escaped_json(text.rstrip())}\n")


def write_json(document: Document) -> None:
    """Print a document that this process made as JSON."""
    write_document(orjson.dumps(document).decode())


def short(job_id: str | None) -> str:
    """The beginning of an id."""
    return (job_id or "-")[:SHORT_ID]


def schedule_text(schedule: Document) -> str:
    """A schedule, close to how its flags are typed."""
    match schedule["kind"]:
        case "every":
            grid = " on a grid" if schedule.get("anchor") == "grid" else ""
            return f"every {interval(schedule['interval_seconds'])}{grid}"
        case "cron":
            tz = schedule.get("tz", "UTC")
            return f"{schedule['expr']} ({tz})" if tz != "UTC" else str(schedule["expr"])
        case "at":
            return f"at {schedule['at']}"
        case kind:
            return str(kind)


def executor_text(executor: Document | None) -> str:
    """What executes a job."""
    match executor:
        case None:
            return "the agent (JOBLEDGER_AGENT_URL)"
        case {"kind": "http", "url": url}:
            return f"POST {url}"
        case {"kind": "command", "argv": argv}:
            return f"command {' '.join(map(repr, argv))}"
        case _:
            return " ".join(str(value) for value in executor.values())


def status_text(job: Document) -> Text:
    """A job's status, and whether it is disabled."""
    text = status_cell(job["status"])
    return text if job["enabled"] else Text().append_text(text).append(" (disabled)", "dim")


def next_text(job: Document, now: datetime, *, is_narrow: bool) -> str:
    """The next run of a job, for a column."""
    if job["open_run"] is not None:
        return "running now"
    if job["paused_until"] is not None:
        return f"resumes {ago_short(job['paused_until'], now, is_narrow=is_narrow)}"
    next_run_at = job["next_run_at"]
    if next_run_at is not None and parse_rfc3339(next_run_at) <= now:
        return "due"
    return ago_short(next_run_at, now, is_narrow=is_narrow)


def changed_job(answer: ApiResponse, as_json: bool, done: str, now: datetime) -> None:
    """Print what a command did to a job, in one line; its status where `done` does not imply it."""

    def render(document: Document) -> None:
        job = document["job"]
        what = done if document["changed"] else "unchanged"
        line = Text(f"{harmless(job['name'])} ({short(job['id'])}): {what}")
        status = status_text(job)
        if job["status"] != what and status.plain != "active":
            line.append("; status ").append_text(status)
        say(
            line.append(
                f", next run {until(job['next_run_at'], now)}" if job["next_run_at"] else ""
            )
        )

    show(answer, as_json, render)


def job_facts(job: Document, now: datetime) -> None:
    """Print everything about one job."""
    policy = job["policy"]
    print_facts(
        [
            ("Name", job["name"]),
            ("Id", job["id"]),
            ("Status", status_text(job)),
            ("Description", job["description"] or "-"),
            ("Schedule", schedule_text(job["schedule"])),
            ("Next run", until(job["next_run_at"], now)),
            *([("Paused until", ago(job["paused_until"], now))] if job["paused_until"] else []),
            ("Executor", executor_text(job["executor"])),
            ("Delivery", _delivery_text(job)),
            ("Task", job["task"] or "-"),
            ("Tags", ", ".join(job["tags"]) or "-"),
            ("Breaker", _breaker_text(job, policy)),
            ("Timeout", interval(policy["timeout_seconds"])),
            ("Runs", str(job["run_count"])),
            ("Last run", _last_run_text(job["last_run"], now)),
            ("Created", f"{ago(job['created_at'], now)} by {job['created_by']['id']}"),
            ("Revision", str(job["revision"])),
        ]
    )


def _breaker_text(job: Document, policy: Document) -> str:
    waits = ", ".join(interval(step) for step in policy["backoff_seconds"])
    streak = f"{job['consecutive_errors']} of {policy['trip_after']} consecutive errors"
    return f"{streak}; waits {waits}"


def _last_run_text(run: Document | None, now: datetime) -> str:
    if run is None:
        return "-"
    error = f"\n{run['failure_class']}: {run['error']}" if run["error"] else ""
    return f"{run['status']}, {ago(run['started_at'], now)}{error}"


def _delivery_text(job: Document) -> str:
    """Where results are sent, and the outcome of the last delivery."""
    if job["delivery"] is None:
        return "-"
    where = " ".join(filter(None, (job["delivery"]["channel"], job["delivery"]["target"])))
    last = job["last_delivery"]
    return where if last is None else f"{where}; last {last['status']}: {last['outcome']}"

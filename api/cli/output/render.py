"""Answers of the API on the screen: as the document they are, or as people read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from api.cli.output.terminal import print_facts, say, status_cell, write
from api.cli.output.times import ago, ago_short, interval, until
from api.cli.responses import ApiResponse
from api.cli.text import escaped_json, harmless
from ledger.clock import parse_rfc3339

SHORT_ID = 8
"""Characters of an id that tell jobs apart for people; commands take them back."""

Document = Mapping[str, Any]


def show(answer: ApiResponse, as_json: bool, render: Callable[[Document], None]) -> None:
    """The API's answer word for word for programs, or rendered for people."""
    if as_json:
        write_document(answer.text)
    else:
        render(answer.document)


def write_document(text: str) -> None:
    """One JSON document and a line's end."""
    write(f"{escaped_json(text.rstrip())}\n")


def short(job_id: str | None) -> str:
    """The beginning of an id."""
    return (job_id or "-")[:SHORT_ID]


def schedule_text(schedule: Document) -> str:
    """A schedule as its flags would say it."""
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
    """Who runs a job."""
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
    """A job's status, and that it is disabled if it is."""
    text = status_cell(job["status"])
    return text if job["enabled"] else Text().append_text(text).append(" (disabled)", "dim")


def next_text(job: Document, now: datetime, *, is_narrow: bool) -> str:
    """What comes next for a job, in the width of a column."""
    if job["open_run"] is not None:
        return "running now"
    if job["paused_until"] is not None:
        return f"resumes {ago_short(job['paused_until'], now, is_narrow=is_narrow)}"
    next_run_at = job["next_run_at"]
    if next_run_at is not None and parse_rfc3339(next_run_at) <= now:
        return "due"
    return ago_short(next_run_at, now, is_narrow=is_narrow)


def changed_job(answer: ApiResponse, as_json: bool, done: str, now: datetime) -> None:
    """What a command did to a job, in one line."""

    def render(document: Document) -> None:
        job = document["job"]
        what = done if document["changed"] else "nothing to change"
        tail = f", next run {until(job['next_run_at'], now)}" if job["next_run_at"] else ""
        line = Text(f"{harmless(job['name'])} ({short(job['id'])}): {what}; now ")
        say(line.append_text(status_text(job)).append(tail))

    show(answer, as_json, render)


def job_facts(job: Document, now: datetime) -> None:
    """Everything about one job."""
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
    streak = f"{job['consecutive_errors']} of {policy['trip_after']} errors in a row"
    return f"{streak}; waits {waits}"


def _last_run_text(run: Document | None, now: datetime) -> str:
    if run is None:
        return "-"
    how = f"{run['status']}, {ago(run['started_at'], now)}"
    why = f"\n{run['failure_class']}: {run['error']}" if run["error"] else ""
    return f"{how}{why}"


def _delivery_text(job: Mapping[str, Any]) -> str:
    """Where results go, and what became of the last one."""
    if job["delivery"] is None:
        return "-"
    where = " ".join(filter(None, (job["delivery"]["channel"], job["delivery"]["target"])))
    last = job["last_delivery"]
    return where if last is None else f"{where}; last {last['status']}: {last['outcome']}"

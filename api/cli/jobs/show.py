"""list, show, runs: jobs as they are or were, and the runs of one job."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from rich.text import Text

from api.cli.connection.question import AsOf, ListQuestion, Question, ShortListQuestion, print_page
from api.cli.options import JobWanted, Tag, flag, with_flags
from api.cli.output import event_text
from api.cli.output.render import job_facts, next_text, schedule_text, short, status_text
from api.cli.output.terminal import is_narrow, print_lines, status_cell
from api.cli.output.times import ago_short, distance, took
from api.cli.responses import Document
from ledger.clock import parse_rfc3339

Status = Annotated[str | None, flag("--status", "STATUS", "active, paused, failed or completed.")]
Words = Annotated[str | None, flag("--name", "WORDS", "Words in the name.")]
FailureClass = Annotated[
    str | None, flag("--failure-class", "CLASS", "Failure class of the last run: rate_limited, …")
]


@with_flags
def list_jobs(
    *,
    status: Status = None,
    tag: Tag = None,
    name: Words = None,
    failure_class: FailureClass = None,
    question: ListQuestion,
) -> None:
    """List jobs with their status, next and last run."""
    query = {"status": status, "tag": tag, "q": name, "failure_class": failure_class}
    question.ask("/v1/jobs", _print_jobs, query=query)


@with_flags
def show_job(wanted: JobWanted, question: Question) -> None:
    """Show everything about one job."""
    question.ask("/v1/jobs/{job}", _print_job, job=wanted)


@with_flags
def runs(wanted: JobWanted, question: ShortListQuestion) -> None:
    """List the runs of one job, newest first."""
    question.ask("/v1/jobs/{job}/runs", _print_runs, job=wanted)


def _print_job(document: Document, as_of: AsOf) -> None:
    as_of.print_heading()
    job_facts(document["job"], as_of.now)


def _print_jobs(document: Document, as_of: AsOf) -> None:
    narrow = is_narrow()
    rows = [
        (
            short(job["id"]),
            job["name"],
            status_text(job),
            schedule_text(job["schedule"]),
            next_text(job, as_of.now, is_narrow=narrow),
            _last_run(job, as_of.now),
        )
        for job in document["jobs"]
    ]
    columns = ["!ID", "NAME", "!STATUS", "SCHEDULE", "NEXT RUN", "LAST RUN"]
    print_page(document, as_of, columns, rows, empty="No jobs.")


def _last_run(job: Document, now: datetime) -> Text:
    """How the last run ended, how long ago, and the streak of errors."""
    run = job["last_run"]
    if run is None:
        return Text("-")
    ago = distance(parse_rfc3339(run["started_at"]), now)
    errors = job["consecutive_errors"]
    streak = f", {errors} consecutive errors" if errors > 1 else ""
    return Text().append_text(status_cell(run["status"])).append(f" {ago}{streak}")


def _print_runs(document: Document, as_of: AsOf) -> None:
    rows = [
        (
            ago_short(run["started_at"], as_of.now),
            status_cell(run["status"]),
            run["trigger"],
            str(run["attempt"]),
            took(run["duration_ms"]),
            (run["error"] or run["output"] or "")[: event_text.LONGEST],
        )
        for run in document["runs"]
    ]
    columns = ["STARTED", "STATUS", "TRIGGER", ">ATTEMPT", ">TOOK", "ERROR OR OUTPUT"]
    print_page(document, as_of, columns, rows, empty="No runs.", print_rows=print_lines)

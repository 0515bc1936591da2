"""summary: the state of the fleet in a few lines."""

from __future__ import annotations

from api.cli.connection.question import AsOf, Question
from api.cli.options import with_flags
from api.cli.output.render import short
from api.cli.output.terminal import print_facts, print_lines, say
from api.cli.output.times import ago, ago_short
from api.cli.responses import Document

STATUSES = ("active", "paused", "failed", "completed")


@with_flags
def summary(question: Question) -> None:
    """Show job counts, the next run, recent failures."""
    question.ask("/v1/summary", _print)


def _print(document: Document, as_of: AsOf) -> None:
    found = document["summary"]
    as_of.print_heading()
    counts = ", ".join(f"{found[status]} {status}" for status in STATUSES)
    disabled = f"; {found['disabled']} of them disabled" if found["disabled"] else ""
    print_facts(
        [
            ("Jobs", f"{found['total']}: {counts}{disabled}"),
            ("Next run", ago(found["next_run_at"], as_of.now)),
        ]
    )
    if not found["recent_failures"]:
        say("No failed runs.", style="dim")
        return
    say()
    rows = [
        (
            ago_short(failure["failed_at"], as_of.now),
            short(failure["job_id"]),
            failure["name"] or "-",
            failure["failure_class"],
            failure["error"] or "",
        )
        for failure in found["recent_failures"]
    ]
    print_lines(["FAILED", "JOB", "NAME", "CLASS", "ERROR"], rows)

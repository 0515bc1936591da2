"""resumes: forced resumes, and whether they held."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from rich.text import Text

from api.cli.connection.question import AsOf, ListQuestion, print_page
from api.cli.options import OfJob, flag, with_flags
from api.cli.output.render import short
from api.cli.output.terminal import print_table, say
from api.cli.output.times import ago_short, read_past
from api.cli.responses import Document
from ledger.plurals import counted

STYLES = {"held": "green", "re_tripped": "bold red", "paused_again": "yellow", "deleted": "dim"}

Actor = Annotated[str | None, flag("--actor", "NAME", "Actor who forced them.")]
FailureClass = Annotated[
    str | None, flag("--failure-class", "CLASS", "Failure class of the trip: rate_limited, …")
]
Since = Annotated[
    str | None, flag("--since", "INSTANT", "Forced since then, or since 2h ago (2h).")
]
Until = Annotated[str | None, flag("--until", "INSTANT", "Forced until then, or 2h ago (2h).")]
Outcome = Annotated[
    str | None, flag("--outcome", "OUTCOME", "held, re_tripped, paused_again, deleted or open.")
]


@with_flags
def list_resumes(
    *,
    actor: Actor = None,
    failure_class: FailureClass = None,
    job: OfJob = None,
    since: Since = None,
    until: Until = None,
    outcome: Outcome = None,
    question: ListQuestion,
) -> None:
    """List forced resumes and how many held."""
    query = {
        "actor": actor,
        "failure_class": failure_class,
        "since": read_past(since, "--since"),
        "until": read_past(until, "--until"),
        "outcome": outcome,
    }
    question.ask("/v1/resumes", _print_resumes, query=query, job=job)


def _print_resumes(document: Document, as_of: AsOf) -> None:
    rows = [
        (
            str(one["position"]),
            ago_short(one["recorded_at"], as_of.now),
            short(one["job_id"]),
            one["job_name"] or "-",
            one["actor"]["id"],
            one["failure_class"],
            _outcome(one),
            _next_trip(one, as_of.now),
            one["reason"] or "",
        )
        for one in document["resumes"]
    ]
    columns = [">POSITION", "WHEN", "!JOB", "NAME", "ACTOR", "CLASS", "OUTCOME", "NEXT TRIP"]
    print_page(
        document,
        as_of,
        [*columns, "~REASON"],
        rows,
        empty="No forced resumes.",
        print_footer=_print_rates,
    )


def _outcome(one: Document) -> Text:
    runs = f" after {counted(one['run_count'], 'run')}" if one["outcome"] == "re_tripped" else ""
    return Text(f"{one['outcome']}{runs}", style=STYLES.get(one["outcome"], ""))


def _next_trip(one: Document, now: datetime) -> str:
    return ago_short(one["next_trip_at"], now) if one["outcome"] != "re_tripped" else ""


def _print_rates(document: Document) -> None:
    rates = document["rates"]
    say()
    parts = [
        ("total", rates["all"]),
        *((f"after {part['failure_class']}", part) for part in rates["by_failure_class"]),
        *((f"by {part['actor']}", part) for part in rates["by_actor"]),
    ]
    rows = [
        (name, str(part["count"]), str(part["decided_count"]), str(part["held_count"]), _rate(part))
        for name, part in parts
    ]
    print_table(["FORCED RESUMES", ">COUNT", ">DECIDED", ">HELD", ">RATE"], rows)


def _rate(part: Document) -> str:
    return f"{part['rate']:.0%}" if part["rate"] is not None else "-"

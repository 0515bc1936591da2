"""gaps: slots that jobs missed, and the cause."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from api.cli.connection.question import AsOf, ListQuestion, print_page
from api.cli.options import OfJob, Tag, flag, with_flags
from api.cli.output.render import short
from api.cli.output.terminal import Cell, say
from api.cli.output.times import ago_short, read_past
from api.cli.responses import Document

Cause = Annotated[
    str | None,
    flag(
        "--cause",
        "CAUSE",
        "paused, failed, disabled, overlap, backoff, delayed, downtime, no_worker, amended.",
    ),
]
Since = Annotated[
    str | None, flag("--since", "INSTANT", "Missed since then, or since 2h ago (2h).")
]
Until = Annotated[str | None, flag("--until", "INSTANT", "Missed until then, or 2h ago (2h).")]


@with_flags
def list_gaps(
    *,
    job: OfJob = None,
    tag: Tag = None,
    cause: Cause = None,
    since: Since = None,
    until: Until = None,
    question: ListQuestion,
) -> None:
    """List spans of missed runs with their cause.

    Open gaps come first, then the newest.
    """
    query = {
        "tag": tag,
        "cause": cause,
        "since": read_past(since, "--since"),
        "until": read_past(until, "--until"),
    }
    question.ask("/v1/gaps", _print_gaps, query=query, job=job)


def _print_gaps(document: Document, as_of: AsOf) -> None:
    rows = [_row(gap, as_of.now) for gap in (*document["open"], *document["gaps"])]
    columns = ["!JOB", "NAME", "!CAUSE", ">SLOTS", "FIRST", "LAST", ">RECORDED"]
    print_page(document, as_of, columns, rows, empty="No missed slots.", print_footer=_print_hidden)


def _print_hidden(document: Document) -> None:
    hidden = document["open_count"] - len(document["open"])
    if document["open"] and hidden:
        say(f"{hidden} more gaps are open: give a larger --limit.", style="dim")


def _row(gap: Document, now: datetime) -> tuple[Cell, ...]:
    count = f"{gap['count']}{'+' if gap['capped'] else ''}"
    return (
        short(gap["job_id"]),
        gap["job_name"] or "-",
        gap["cause"],
        count,
        ago_short(gap["first"], now),
        ago_short(gap["last"], now),
        str(gap["position"]) if gap["position"] is not None else "still open",
    )

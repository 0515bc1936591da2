"""diff: what changed across the fleet between two points in time."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

from rich.text import Text

from api.cli.connection.connect import Intent, connect
from api.cli.options import AsJson, Cursor, DataFolder, Limit, Tag, flag
from api.cli.output import event_text
from api.cli.output.paging import say_more
from api.cli.output.render import short, show
from api.cli.output.terminal import print_lines, say
from api.cli.output.times import ago_short, read_when, to_the_second
from api.cli.responses import Document
from api.cli.text import shortened
from ledger.clock import SystemClock, parse_rfc3339

LONGEST_VALUE = 60

From = Annotated[str, flag("--from", "WHEN", "A position, an instant, or 2h ago (2h).")]
To = Annotated[str | None, flag("--to", "WHEN", "As --from (default: now).")]
Actor = Annotated[str | None, flag("--actor", "NAME", "Only fields this actor changed last.")]


def diff(
    begin: From,
    to: To = None,
    tag: Tag = None,
    actor: Actor = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Show what changed between two points in time.

    Jobs created and deleted, and per changed field who changed it last, when and why.
    """
    now = SystemClock().now()
    query = {
        "from": read_when(begin, "--from", now),
        "to": read_when(to, "--to", now),
        "tag": tag,
        "actor": actor,
        "limit": limit,
        "cursor": cursor,
    }
    with connect(Intent.READ, data) as client:
        answer = client.request("GET", "/v1/diff", query=query)
    show(answer, as_json, partial(_print, actor=actor))


def _print(document: Document, actor: str | None) -> None:
    first, last = document["from"], document["to"]
    say(f"From {_point(first)} to {_point(last)}:", style="bold")
    if not document["jobs"]:
        say("No lasting changes." if actor is None else "No lasting changes by this actor.")
        return
    rows = [row for job in document["jobs"] for row in _rows(job)]
    print_lines(["JOB", "WHAT", ">POSITION", "WHEN", "ACTOR", "CHANGE"], rows)
    say_more(document, begin=first["position"], to=last["position"])


def _point(end: Document) -> str:
    if end["position"] == 0:
        return "the beginning"
    return f"{to_the_second(end['at'])} (position {end['position']})"


def _rows(job: Document) -> list[tuple[str | Text, ...]]:
    """One row per changed field; the first one names the job."""
    heading = f"{job['job_name']} ({short(job['job_id'])})"
    if job["event"] is not None:
        return [
            (heading, Text(job["change"], "bold"), *_origin(job["event"]), _reason(job["event"]))
        ]
    return [
        (heading if number == 0 else "", change["field"], *_origin(change), _change(change))
        for number, change in enumerate(job["fields"])
    ]


def _origin(event: Document) -> tuple[str, str, str]:
    at = parse_rfc3339(event["recorded_at"])
    when = ago_short(event["recorded_at"], max(at, SystemClock().now()))
    return str(event["position"]), when, str(event["actor"]["id"])


def _change(change: Document) -> str:
    what = f"{_value(change['before'])} → {_value(change['after'])}"
    return "; ".join(filter(None, (what, event_text.topic(change), _reason(change))))


def _reason(event: Document) -> str:
    return f"reason: {event['reason']}" if event["reason"] else ""


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(text, LONGEST_VALUE)

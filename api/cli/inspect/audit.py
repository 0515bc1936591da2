"""audit: search the events of the whole ledger."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from api.cli.connection.client import ApiClient
from api.cli.connection.connect import Intent, connect
from api.cli.exit_codes import Misused
from api.cli.inspect.event_filters import EventFlags
from api.cli.inspect.export_stream import FileFormat, stream_events
from api.cli.options import AsJson, Cursor, DataFolder, flag, switch, with_flags
from api.cli.output import event_text
from api.cli.output.paging import say_more
from api.cli.output.render import short, show
from api.cli.output.terminal import print_lines, say, write
from api.cli.output.times import ago_short
from api.cli.responses import Document
from api.cli.text import escaped_json, harmless
from ledger.clock import SystemClock


class AuditFormat(StrEnum):
    """How the events are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class Order(StrEnum):
    """The order of events."""

    ASC = "asc"
    DESC = "desc"


OrderFlag = Annotated[Order, switch("--order", "Oldest (asc) or newest (desc) first.")]
LimitFlag = Annotated[
    int | None,
    flag("--limit", "N", "Most events: 50 of table and json, all of jsonl and csv.", min=1),
]
FormatFlag = Annotated[AuditFormat, switch("--format", "csv and jsonl are whole files.")]


@with_flags
def audit(
    filters: EventFlags,
    order: OrderFlag = Order.ASC,
    cursor: Cursor = None,
    limit: LimitFlag = None,
    shape: FormatFlag = AuditFormat.TABLE,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Search events: who did what, when and why.

    An event must match all filters.
    """
    is_file = shape in (AuditFormat.JSONL, AuditFormat.CSV)
    if as_json and is_file:
        raise Misused(f"--json and --format {shape.value} contradict each other: give one.")
    query = filters.query() | {"order": order.value, "cursor": cursor, "limit": limit}
    with connect(Intent.READ, data) as client:
        query["job"] = filters.job_id(client)
        if is_file:
            write_events(client, query, FileFormat(shape.value))
            return
        answer = client.request("GET", "/v1/events", query=query)
    show(answer, as_json or shape is AuditFormat.JSON, _print_events)


def write_events(client: ApiClient, query: Mapping[str, Any], shape: FileFormat) -> None:
    """Print a whole file, piece by piece. Control characters are written out; in CSV only on a
    terminal, so that a redirected file stays exact.
    """
    is_terminal = sys.stdout.isatty()
    for piece in stream_events(client, query, shape, is_quiet=is_terminal):
        if shape is FileFormat.JSONL:
            write(escaped_json(piece))
        else:
            write("\n".join(map(harmless, piece.splitlines())) + "\n" if is_terminal else piece)


def _print_events(document: Document) -> None:
    now = SystemClock().now()
    if not document["events"]:
        say("No matching events.", style="dim")
        return
    rows = [
        (
            str(event["position"]),
            ago_short(event["recorded_at"], now),
            event_text.topic(event),
            short(event["job_id"]),
            event_text.actor(event),
            event_text.details(event),
        )
        for event in document["events"]
    ]
    print_lines([">POSITION", "WHEN", "WHAT", "JOB", "ACTOR", "DETAILS"], rows)
    say_more(document)

"""fork: the beginning of the ledger as a ledger of its own, to try things out in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from api.cli.admin.backup import opened_event_store
from api.cli.exit_codes import Misused
from api.cli.options import AsJson, DataFolder
from api.cli.output.progress import steps
from api.cli.output.render import write_document
from api.cli.output.terminal import say
from api.cli.output.times import read_moment
from api.settings import load_settings
from ledger.clock import SystemClock, from_microseconds, microseconds, parse_rfc3339, rfc3339
from ledger.maintenance.fork import Fork, fork
from ledger.store.event_store import ReadableEvents

Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The new file.")]
Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="MOMENT", help="Up to a position, an instant, or 2h ago: 2h; the end."
    ),
]
Redact = Annotated[
    bool, typer.Option("--redact", help="Without tasks, outputs, errors and other free text.")
]


def fork_ledger(
    out: Out,
    until: Until = None,
    redact: Redact = False,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Copy a ledger up to a point in time.

    The fork is a ledger of its own, for serve --sandbox.
    """
    moment = read_moment(until, "--until", SystemClock().now())
    settings = load_settings(overrides={"data": data})
    with (
        opened_event_store(settings.dsn or str(settings.data)) as event_store,
        steps("Fork") as told,
    ):
        position = event_store.tail_position() if moment is None else _position(event_store, moment)
        made = fork(event_store, out, until=position, is_redacted=redact, progress=told)
    if as_json:
        write_document(orjson.dumps(_answer(made, redact)).decode())
        return
    say(f"{made.file}: {made.position} events, and how {made.run_count} runs after them ended.")
    say(f"Try it: jobledger serve --sandbox {made.file}")


def _position(event_store: ReadableEvents, moment: str) -> int:
    """Where a moment is in the book. Misused when nothing was there yet, or it is still to come."""
    if moment.isdigit():
        return int(moment)
    at = parse_rfc3339(moment)
    if at > SystemClock().now():
        raise Misused("--until is still to come: only what has happened can be forked.")
    position = event_store.position_at(microseconds(at))
    if position == 0 and (first := event_store.read(after=0, limit=1)):
        born = rfc3339(from_microseconds(first[0].recorded_at))
        raise Misused(f"--until is before the first event, which is of {born}.")
    return position


def _answer(made: Fork, redact: bool) -> dict[str, object]:
    return {
        "file": str(made.file),
        "ledger_id": str(made.ledger_id),
        "position": made.position,
        "runs": made.run_count,
        "redacted": redact,
    }

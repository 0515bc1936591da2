"""fork: the beginning of the ledger as a ledger of its own, to try things out in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from api.cli.answers import write_document
from api.cli.backups import opened_book
from api.cli.bars import steps
from api.cli.moments import read_moment
from api.cli.options import AsJson, DataFolder
from api.cli.screen import say
from api.settings import load_settings
from ledger.clock import SystemClock, parse_rfc3339
from ledger.store.forking import Fork, fork
from ledger.store.reading import microseconds

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
    """Write the beginning of the ledger as a ledger of its own, for `serve --sandbox`."""
    moment = read_moment(until, "--until", SystemClock().now())
    settings = load_settings(overrides={"data": data})
    with opened_book(settings.dsn or str(settings.data)) as book, steps("Fork") as told:
        if moment is None:
            position = book.tail_position()
        elif moment.isdigit():
            position = int(moment)
        else:
            position = book.position_at(microseconds(parse_rfc3339(moment)))
        made = fork(book, out, until=position, is_redacted=redact, progress=told)
    if as_json:
        write_document(orjson.dumps(_answer(made, redact)).decode())
        return
    say(f"{made.file}: {made.position} events, and how {made.run_count} runs after them ended.")
    say(f"Try it: jobledger serve --sandbox {made.file}")


def _answer(made: Fork, redact: bool) -> dict[str, object]:
    return {
        "file": str(made.file),
        "ledger_id": str(made.ledger_id),
        "position": made.position,
        "runs": made.run_count,
        "redacted": redact,
    }

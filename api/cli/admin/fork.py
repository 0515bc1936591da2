"""fork: the beginning of a ledger as a ledger of its own, to try things out in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from api.cli.admin.backup import opened_event_store
from api.cli.exit_codes import Misused
from api.cli.options import AsJson, DataFolder, flag, switch
from api.cli.output.progress import steps
from api.cli.output.render import write_json
from api.cli.output.terminal import say
from api.cli.output.times import read_when
from api.settings import load_settings
from ledger.clock import SystemClock, from_microseconds, microseconds, parse_rfc3339, rfc3339
from ledger.maintenance.fork import Fork, fork
from ledger.store.event_store import ReadableEvents

Out = Annotated[Path, flag("--out", "FILE", "New file.")]
Until = Annotated[
    str | None,
    flag("--until", "WHEN", "Last position, instant, or 2h ago (2h).", show_default="the end"),
]
Redact = Annotated[
    bool, switch("--redact", "Leave out tasks, outputs, errors and other free text.")
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
    cut = read_when(until, "--until", SystemClock().now())
    settings = load_settings(overrides={"data": data})
    with (
        opened_event_store(settings.dsn or str(settings.data)) as event_store,
        steps("Fork") as report,
    ):
        position = event_store.tail_position() if cut is None else _position(event_store, cut)
        made = fork(event_store, out, until=position, is_redacted=redact, progress=report)
    if as_json:
        write_json(_answer(made, redact))
        return
    say(f"{made.file}: {made.position} events, and the outcomes of {made.run_count} later runs.")
    say(f"Try it: jobledger serve --sandbox {made.file}")


def _position(event_store: ReadableEvents, cut: str) -> int:
    """The last position up to a time. Misused when that is in the future, or before any event."""
    if cut.isdigit():
        return int(cut)
    at = parse_rfc3339(cut)
    if at > SystemClock().now():
        raise Misused("--until is in the future: only the past can be forked.")
    position = event_store.position_at(microseconds(at))
    if position == 0 and (first := event_store.read(after=0, limit=1)):
        began = rfc3339(from_microseconds(first[0].recorded_at))
        raise Misused(f"--until is before the first event, which was recorded at {began}.")
    return position


def _answer(made: Fork, redact: bool) -> dict[str, object]:
    return {
        "file": str(made.file),
        "ledger_id": str(made.ledger_id),
        "position": made.position,
        "runs": made.run_count,
        "redacted": redact,
    }

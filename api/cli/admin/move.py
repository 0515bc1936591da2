"""move: copy a ledger between SQLite and PostgreSQL, and verify the copy."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from api.cli.connection.folder_owner import is_owned, owned_by_other, wait_for_short_owner
from api.cli.exit_codes import Misused
from api.cli.options import AsJson, flag
from api.cli.output.progress import steps
from api.cli.output.render import write_json
from api.cli.output.terminal import say
from api.config import parsers
from ledger.maintenance.move.move import Moved, move
from ledger.maintenance.move.sqlite import SQLiteEndpoint
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.sqlite.folder import EVENT_STORE_FILE, Folder

if TYPE_CHECKING:
    from ledger.maintenance.move.postgres import PostgresEndpoint

From = Annotated[str, flag("--from", "DSN", "Source: sqlite:///FILE or postgresql://…; only read.")]
To = Annotated[str, flag("--to", "DSN", "Target: empty, or left by an interrupted move.")]


def move_ledger(from_dsn: From, to_dsn: To, as_json: AsJson = False) -> None:
    """Copy a ledger between SQLite and PostgreSQL.

    The copy is verified; the source is only read.
    """
    source_location = location_of(from_dsn, "--from")
    target_location = location_of(to_dsn, "--to")
    _require_different(source_location, target_location)
    with ExitStack() as closing:
        source = _open(source_location, None)
        closing.callback(source.close)
        target = _open(target_location, source.ledger_id)
        closing.callback(target.close)
        with steps("Moving") as report:
            moved = move(source, target, report)
        places = source.location, target.location
    if as_json:
        write_json(_answer(moved))
        return
    _say(moved, *places)


def location_of(dsn: str, flag: str) -> Folder | PostgresDsn:
    """The location a DSN names. Misused when it is not valid, or names a file no server finds."""
    try:
        text = parsers.dsn(dsn)
    except ValueError as problem:
        raise Misused(f"{flag}: {problem}") from None
    if not isinstance(text, str):
        raise Misused(f"{flag}: sqlite:///FILE or postgresql://… is needed.")
    if not text.startswith(parsers.SQLITE):
        return PostgresDsn(text)
    path = Path(text.removeprefix(parsers.SQLITE))
    if path.is_dir():
        return Folder(path)
    if path.name != EVENT_STORE_FILE:
        raise Misused(
            f"{flag}: the file of a ledger must be called {EVENT_STORE_FILE}: "
            f"sqlite:///{path.parent / EVENT_STORE_FILE}, or name the folder."
        )
    return Folder(path.parent)


def _require_different(source: Folder | PostgresDsn, target: Folder | PostgresDsn) -> None:
    if isinstance(source, Folder) and isinstance(target, Folder):
        is_same = source.path.resolve() == target.path.resolve()
    else:
        is_same = source == target
    if is_same:
        raise Misused("--from and --to name the same ledger.")


def _open(location: Folder | PostgresDsn, new_id: UUID | None) -> SQLiteEndpoint | PostgresEndpoint:
    """The source, or with the source's id the target."""
    if isinstance(location, PostgresDsn):
        # Imports the driver, which is slow and not needed between two files.
        from ledger.maintenance.move.postgres import PostgresEndpoint

        if new_id is None:
            return PostgresEndpoint.open_source(location)
        return PostgresEndpoint.open_target(location, new_id)
    wait_for_short_owner(location)
    if is_owned(location):
        raise owned_by_other(location)
    if new_id is None:
        return SQLiteEndpoint.open_source(location)
    return SQLiteEndpoint.open_target(location, new_id)


def _answer(moved: Moved) -> dict[str, object]:
    return {
        "ledger_id": str(moved.ledger_id),
        "position": moved.position,
        "chain": moved.chain.hex(),
        "already": moved.already,
        "verified": True,
        **moved.counts,
    }


def _say(moved: Moved, source: str, target: str) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in moved.counts.items())
    say(f"Moved {source} to {target}: {counts}.")
    if moved.already:
        say(f"{moved.already} of the events were there already.")
    say(f"Verified up to position {moved.position}; both have the chain {moved.chain.hex()}.")
    say(f"{source} is unchanged. Serve only one of the two: both would run the same jobs.")

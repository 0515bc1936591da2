"""move: a ledger copied between SQLite and PostgreSQL, both ways, and verified there."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import orjson
import typer

from api.cli.connection.folder_owner import is_owned, not_ours, wait_while_passing
from api.cli.exit_codes import Misused
from api.cli.options import AsJson
from api.cli.output.progress import steps
from api.cli.output.render import write_document
from api.cli.output.terminal import say
from api.config import parsers as values
from ledger.maintenance.move.move import Moved, move
from ledger.maintenance.move.sqlite import SQLiteEndpoint
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.sqlite.folder import EVENT_STORE_FILE, Folder

if TYPE_CHECKING:
    from ledger.maintenance.move.postgres import PostgresEndpoint

From = Annotated[
    str,
    typer.Option("--from", metavar="DSN", help="sqlite:///FILE or postgresql://…; only read."),
]
To = Annotated[
    str, typer.Option("--to", metavar="DSN", help="An empty place, or one half moved in.")
]


def move_ledger(from_dsn: From, to_dsn: To, as_json: AsJson = False) -> None:
    """Copy a ledger between SQLite and PostgreSQL.

    The copy is verified; the source is only read.
    """
    source_place, target_place = place_of(from_dsn, "--from"), place_of(to_dsn, "--to")
    _require_two(source_place, target_place)
    with ExitStack() as closing:
        source = _open(source_place, None)
        closing.callback(source.close)
        target = _open(target_place, source.ledger_id)
        closing.callback(target.close)
        with steps("Moving") as told:
            moved = move(source, target, told)
        places = source.place, target.place
    if as_json:
        write_document(orjson.dumps(_answer(moved)).decode())
        return
    _say(moved, *places)


def place_of(dsn: str, flag: str) -> Folder | PostgresDsn:
    """Where a DSN leads; Misused when it is none, or names a file that no server would find."""
    try:
        text = values.dsn(dsn)
    except ValueError as problem:
        raise Misused(f"{flag}: {problem}") from None
    if not isinstance(text, str):
        raise Misused(f"{flag}: sqlite:///FILE or postgresql://… is needed.")
    if not text.startswith(values.SQLITE):
        return PostgresDsn(text)
    path = Path(text.removeprefix(values.SQLITE))
    if path.is_dir():
        return Folder(path)
    if path.name != EVENT_STORE_FILE:
        raise Misused(
            f"{flag}: the file of a ledger is called {EVENT_STORE_FILE}, or no server finds it in "
            f"its folder: sqlite:///{path.parent / EVENT_STORE_FILE}, or name the folder."
        )
    return Folder(path.parent)


def _require_two(source: Folder | PostgresDsn, target: Folder | PostgresDsn) -> None:
    if isinstance(source, Folder) and isinstance(target, Folder):
        is_same = source.path.resolve() == target.path.resolve()
    else:
        is_same = source == target
    if is_same:
        raise Misused("--from and --to name the same place.")


def _open(place: Folder | PostgresDsn, new_id: UUID | None) -> SQLiteEndpoint | PostgresEndpoint:
    """The source, or with the source's id the target."""
    if isinstance(place, PostgresDsn):
        from ledger.maintenance.move.postgres import (
            PostgresEndpoint,
        )  # the driver is slow to import

        if new_id is None:
            return PostgresEndpoint.open_source(place)
        return PostgresEndpoint.open_target(place, new_id)
    wait_while_passing(place)
    if is_owned(place):
        raise not_ours(place)
    if new_id is None:
        return SQLiteEndpoint.open_source(place)
    return SQLiteEndpoint.open_target(place, new_id)


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
        say(f"{moved.already} of the events were there from before.")
    say(f"Verified: sound up to position {moved.position}; chain {moved.chain.hex()}, in both.")
    say(f"{source} is as it was. Serve only one of the two: both would run the same jobs.")

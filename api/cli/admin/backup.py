"""backup: the book saved while it is in use, and any backup checked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from api.cli.connection.folder_owner import require_event_store
from api.cli.exit_codes import Exit, Misused, Stop
from api.cli.options import AsJson, DataFolder
from api.cli.output.progress import steps
from api.cli.output.render import write_document
from api.cli.output.terminal import say
from api.config import parsers as values
from api.settings import Settings, load_settings
from ledger.clock import SystemClock
from ledger.errors import StartRefused
from ledger.maintenance.backup import Backup, back_up, reading
from ledger.maintenance.verify import Verdict, verify_event_store
from ledger.store.event_store import ReadableEvents
from ledger.store.postgres.dsn import SCHEMES, PostgresDsn, require_readable
from ledger.store.sqlite.folder import EVENT_STORE_FILE, Folder

Out = Annotated[
    str | None,
    typer.Option("--out", metavar="PATH", help="A new file, or a folder that gets one."),
]
Check = Annotated[
    str | None,
    typer.Option("--check", metavar="PATH|DSN", help="Verify this backup or restored ledger."),
]


def backup(
    out: Out = None, check: Check = None, as_json: AsJson = False, data: DataFolder = None
) -> None:
    """Back up the event store, or check a backup.

    Every event is verified. A backup is made while the ledger is in use.
    """
    settings = load_settings(overrides={"data": data})
    if (out is None) is (check is None):
        raise Misused("Give --out PATH to make a backup, or --check PATH to verify one.")
    if check is not None:
        _check(check, settings, as_json=as_json)
    elif settings.dsn is not None and settings.dsn.startswith(SCHEMES):
        _name_tools(PostgresDsn(settings.dsn), out or "", as_json=as_json)
    else:
        _save(settings, out or "", as_json=as_json)


def _save(settings: Settings, out: str, *, as_json: bool) -> None:
    event_store = settings.sqlite_path or Folder(settings.data).event_store_file
    require_event_store(Folder(event_store.parent))
    with steps("Backup") as told:
        made = back_up(event_store, _file(out), told)
    _require_sound(
        made.verdict, f"What {event_store} holds is not sound, and no backup was made of it."
    )
    if as_json:
        _write(_answer(made))
        return
    say(f"{made.file}: {made.verdict.verified} events, verified; chain {_chain(made.verdict)}.")
    say(f"To restore it, put it into an empty folder as {EVENT_STORE_FILE}.")


def _file(out: str) -> Path:
    """The new file; in a folder it is named after the instant, so that the names are in order."""
    path = Path(out)
    if path.is_dir():
        return path / f"ledger-{SystemClock().now():%Y%m%dT%H%M%S.%fZ}.db"
    if not path.name or out.endswith("/"):
        raise Misused(f"There is no folder {out}.")
    return path


def _answer(made: Backup) -> dict[str, Any]:
    return {
        "file": str(made.file),
        "ledger_id": str(made.ledger_id),
        "position": made.verdict.verified,
        "chain": _chain(made.verdict),
        "verified": made.verdict.is_sound,
    }


# -- checking -----------------------------------------------------------------------------------


def _check(wanted: str, settings: Settings, *, as_json: bool) -> None:
    with opened_event_store(wanted) as event_store, steps("Checking") as told:
        verdict = verify_event_store(event_store, lambda done, total: told("verified", done, total))
        _require_sound(verdict, "It is no backup to rely on.")
        of_ours = _is_of_ours(event_store, verdict, settings)
        answer = {
            "ledger_id": str(event_store.ledger_id),
            "position": verdict.verified,
            "chain": _chain(verdict),
            "verified": True,
            "is_of_this_ledger": of_ours,
        }
    if as_json:
        _write(answer)
    else:
        say(f"{verdict.verified} events are sound; chain {_chain(verdict)}.")
        say(_related(settings, of_ours))
    if of_ours is False:
        raise Stop(Exit.REFUSED, f"It is no backup of the ledger in {settings.data}.")


def _is_of_ours(event_store: ReadableEvents, verdict: Verdict, settings: Settings) -> bool | None:
    """Whether it is the beginning of the ledger that the settings name; None where that is not at
    hand.
    """
    ours = settings.dsn or str(settings.data)
    if (
        not ours.startswith(SCHEMES)
        and not (settings.sqlite_path or _event_store_in(ours)).exists()
    ):
        return None
    with opened_event_store(ours) as own:
        if own.ledger_id != event_store.ledger_id:
            return False
        if verdict.verified == 0:
            return True
        last = own.read(after=verdict.verified - 1, limit=1)
        return [item.chain for item in last] == [verdict.chain]


def _related(settings: Settings, of_ours: bool | None) -> str:
    if of_ours is None:
        return "There is no ledger here to compare it with."
    where = "the database in JOBLEDGER_DSN" if settings.dsn else str(settings.data)
    return f"It is {'a' if of_ours else 'no'} beginning of the ledger in {where}."


@contextmanager
def opened_event_store(wanted: str) -> Iterator[ReadableEvents]:
    """The ledger at a path or a DSN, only read."""
    if wanted.startswith(SCHEMES):
        from ledger.store.postgres.store import PostgresEventStore  # the driver is slow to import

        restored = PostgresEventStore(PostgresDsn(wanted))
        try:
            yield restored
        finally:
            restored.close()
        return
    file = _event_store_in(wanted.removeprefix(values.SQLITE))
    if not file.exists():
        raise Misused(f"There is no file {file}.")
    with reading(file) as event_store:
        yield event_store


def _event_store_in(path: str) -> Path:
    return Path(path) / EVENT_STORE_FILE if Path(path).is_dir() else Path(path)


def _require_sound(verdict: Verdict, meaning: str) -> None:
    if verdict.finding is not None:
        raise Stop(
            Exit.REFUSED,
            f"Position {verdict.finding.position} is bad: {verdict.finding.problem}. {meaning}",
        )


def _chain(verdict: Verdict) -> str:
    return verdict.chain.hex()


def _write(answer: dict[str, Any]) -> None:
    write_document(orjson.dumps(answer).decode())


# -- PostgreSQL's own tools ---------------------------------------------------------------------


def _name_tools(address: PostgresDsn, out: str, *, as_json: bool) -> None:
    """Say what to type instead; never a success, or a script would believe in a backup."""
    where = _without_password(address)
    tools = {
        "this ledger": ["pg_dump", "--format=custom", f"--schema={address.schema}"],
        "the whole server": ["pg_basebackup", "--wal-method=stream"],
    }
    target = {"this ledger": f"--file={out}", "the whole server": f"--pgdata={out}"}
    lines = {
        what: shlex.join([*words, target[what], f"--dbname={where}"])
        for what, words in tools.items()
    }
    if as_json:
        _write({"tools": lines})
    else:
        for what, line in lines.items():
            say(f"{what}: {line}")
    raise StartRefused(
        "No backup was made: PostgreSQL has its own tools, with the password from PGPASSWORD or "
        "~/.pgpass. Restore what they make, and verify it: jobledger backup --check postgresql://…"
    )


def _without_password(address: PostgresDsn) -> str:
    import psycopg  # slow to import
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    require_readable(address)
    try:
        parts = conninfo_to_dict(address.dsn)
    except psycopg.Error:
        raise StartRefused("JOBLEDGER_DSN is no address of PostgreSQL.") from None
    return make_conninfo("", **{key: text for key, text in parts.items() if "password" not in key})

"""backup: back up the event store while it is in use, or check a backup."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from api.cli.connection.folder_owner import require_event_store
from api.cli.exit_codes import Exit, Misused, Stop
from api.cli.options import AsJson, DataFolder, flag
from api.cli.output.progress import steps
from api.cli.output.render import write_json
from api.cli.output.terminal import say
from api.config import parsers
from api.settings import Settings, load_settings
from ledger.clock import SystemClock
from ledger.errors import StartRefused
from ledger.maintenance.backup import Backup, back_up, reading
from ledger.maintenance.verify import Verdict, verify_event_store
from ledger.store.event_store import ReadableEvents
from ledger.store.postgres.dsn import SCHEMES, PostgresDsn, require_readable
from ledger.store.sqlite.folder import EVENT_STORE_FILE, Folder

Out = Annotated[str | None, flag("--out", "PATH", "New file, or folder for it.")]
Check = Annotated[str | None, flag("--check", "PATH|DSN", "Verify this backup or restored ledger.")]


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
        _print_tools(PostgresDsn(settings.dsn), out or "", as_json=as_json)
    else:
        _save(settings, out or "", as_json=as_json)


def _save(settings: Settings, out: str, *, as_json: bool) -> None:
    event_store = settings.sqlite_path or Folder(settings.data).event_store_file
    require_event_store(Folder(event_store.parent))
    with steps("Backup") as report:
        made = back_up(event_store, _file(out), report)
    _require_sound(made.verdict, f"{event_store} is not sound, so no backup was made.")
    if as_json:
        write_json(_answer(made))
        return
    say(f"{made.file}: {made.verdict.verified} events, verified; chain {_chain(made.verdict)}.")
    say(f"To restore it, copy it into an empty folder as {EVENT_STORE_FILE}.")


def _file(out: str) -> Path:
    """The new file; in a folder it is named after the instant, so that names sort by time."""
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
    with opened_event_store(wanted) as event_store, steps("Checking") as report:
        verdict = verify_event_store(
            event_store, lambda done, total: report("verified", done, total)
        )
        _require_sound(verdict, "Do not rely on this backup.")
        of_ours = _is_of_ours(event_store, verdict, settings)
        answer = {
            "ledger_id": str(event_store.ledger_id),
            "position": verdict.verified,
            "chain": _chain(verdict),
            "verified": True,
            "is_of_this_ledger": of_ours,
        }
    if as_json:
        write_json(answer)
    else:
        say(f"{verdict.verified} events are sound; chain {_chain(verdict)}.")
        say(_relation(settings, of_ours))
    if of_ours is False:
        raise Stop(Exit.REFUSED, f"It is not a backup of the ledger in {settings.data}.")


def _is_of_ours(event_store: ReadableEvents, verdict: Verdict, settings: Settings) -> bool | None:
    """Whether it is the beginning of the ledger that the settings name; None without such one."""
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


def _relation(settings: Settings, of_ours: bool | None) -> str:
    if of_ours is None:
        return "There is no ledger here to compare it with."
    where = "the database in JOBLEDGER_DSN" if settings.dsn else str(settings.data)
    return f"It is {'the' if of_ours else 'not the'} beginning of the ledger in {where}."


@contextmanager
def opened_event_store(wanted: str) -> Iterator[ReadableEvents]:
    """The ledger at a path or a DSN, read-only."""
    if wanted.startswith(SCHEMES):
        from ledger.store.postgres.store import PostgresEventStore  # imports the driver

        restored = PostgresEventStore(PostgresDsn(wanted))
        try:
            yield restored
        finally:
            restored.close()
        return
    file = _event_store_in(wanted.removeprefix(parsers.SQLITE))
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


# -- PostgreSQL's own tools ---------------------------------------------------------------------


def _print_tools(address: PostgresDsn, out: str, *, as_json: bool) -> None:
    """Print PostgreSQL's own commands and refuse, so that no script takes this for a backup."""
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
        write_json({"tools": lines})
    else:
        for what, line in lines.items():
            say(f"{what}: {line}")
    raise StartRefused(
        "No backup was made: use PostgreSQL's own tools, with the password from PGPASSWORD or "
        "~/.pgpass. Restore their backup and verify it: jobledger backup --check postgresql://…"
    )


def _without_password(address: PostgresDsn) -> str:
    import psycopg  # slow, and not needed for a file
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    require_readable(address)
    try:
        parts = conninfo_to_dict(address.dsn)
    except psycopg.Error:
        raise StartRefused("JOBLEDGER_DSN is not a valid PostgreSQL address.") from None
    return make_conninfo("", **{key: text for key, text in parts.items() if "password" not in key})

"""The schema on SQLite: created in an empty file, upgraded, and checked before anything is read."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path
from uuid import UUID

from ledger.errors import StartRefused
from ledger.store.move_state import MOVE, require_complete_move

APPLICATION_ID = 0x4A4C4447
"""`JLDG`: marks the file as a ledger in SQLite's header."""
SCHEMA_VERSION = "2"

_UPGRADE_FROM_1 = """
ALTER TABLE heads RENAME TO snapshots;
UPDATE meta SET key = 'snapshots_position' WHERE key = 'heads_position';
UPDATE meta SET key = 'checkpoint:notifier' WHERE key = 'mark:courier';
UPDATE meta SET key = 'checkpoint:' || substr(key, 6) WHERE key LIKE 'mark:%';
UPDATE meta SET value = '2' WHERE key = 'schema';
"""
"""Version 1 had other names for the same tables and keys."""


def prepare(connection: sqlite3.Connection, path: Path, new_id: UUID) -> None:
    """Create what a ledger's file lacks, and upgrade one of an older version; an empty file gets
    `new_id`. StartRefused when it is another program's.
    """
    if not _is_ours(connection):
        raise StartRefused(f"{path} is another program's database, not a jobledger database.")
    try:
        path.chmod(0o600)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        if _version(connection) == "1":
            connection.executescript(f"BEGIN IMMEDIATE; {_UPGRADE_FROM_1} COMMIT;")
        connection.executescript(files("ledger.store.sqlite").joinpath("schema.sql").read_text())
        put = "INSERT OR IGNORE INTO meta VALUES (?, ?)"
        connection.execute(put, ("ledger_id", str(new_id)))
        connection.execute(put, ("schema", SCHEMA_VERSION))
    except sqlite3.Error as error:
        raise StartRefused(f"The database {path} cannot be prepared: {error}.") from None


def identify(connection: sqlite3.Connection, path: Path, *, may_be_half: bool = False) -> UUID:
    """The id of the ledger in a file. StartRefused when there is none, it is of another version, or
    a move into it is incomplete and that is not allowed.
    """
    try:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
    except sqlite3.Error as error:
        raise StartRefused(f"{path} is not a jobledger database: {error}.") from None
    if meta.get("schema") != SCHEMA_VERSION:
        raise _other_version(path, str(meta.get("schema")))
    if not may_be_half:
        require_complete_move(meta.get(MOVE), str(path))
    return UUID(meta["ledger_id"])


def _other_version(path: Path, version: str) -> StartRefused:
    if version == "1":
        return StartRefused(
            f"{path} has schema 1, of the version before: run jobledger list once on its data "
            "folder to upgrade it (put a backup into an empty folder as ledger.db first)."
        )
    return StartRefused(
        f"{path} has schema {version}, which a newer jobledger created; this version knows "
        f"{SCHEMA_VERSION}: upgrade jobledger."
    )


def _version(connection: sqlite3.Connection) -> str | None:
    """The schema's version; None in an empty file."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return str(row[0]) if row else None


def _is_ours(connection: sqlite3.Connection) -> bool:
    """Marked as a ledger, or empty: most programs leave the application id at 0."""
    mark = int(connection.execute("PRAGMA application_id").fetchone()[0])
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    return mark == APPLICATION_ID or (mark == 0 and not has_tables)

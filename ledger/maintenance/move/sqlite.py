"""One end of a move on SQLite: a ledger's file, owned while it is moved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Self
from uuid import UUID

from ledger.errors import StartRefused, StorageFull, Unavailable
from ledger.maintenance.move.endpoints import Table, Values
from ledger.store.hash_chain import genesis
from ledger.store.move_state import DONE, MOVE, UNDER_WAY
from ledger.store.records import Tail
from ledger.store.sqlite.connections import SQLiteFile
from ledger.store.sqlite.folder import EVENT_STORE_FILE, READ_MODELS_FILE, Folder, OwnerLock
from ledger.store.sqlite.reads import SQLiteReads
from ledger.store.sqlite.schema import identify, prepare

KEYS_AT_ONCE = 500
_TAIL = "SELECT position, chain, recorded_at FROM events ORDER BY position DESC LIMIT 1"
_PUT_META = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"


class SQLiteEndpoint(SQLiteReads):
    """See `MoveSource` and `MoveTarget`. The folder is owned until it is closed."""

    def __init__(self, file: SQLiteFile, ledger_id: UUID, closing: ExitStack) -> None:
        super().__init__(file)
        self.ledger_id = ledger_id
        self._closing = closing
        self._writer: sqlite3.Connection | None = None

    @classmethod
    def open_source(cls, folder: Folder) -> Self:
        """Own an existing ledger, to read it only. StartRefused when there is none or another
        process owns it.
        """
        if not folder.event_store_file.exists():
            raise StartRefused(
                f"There is no ledger in {folder.path}: {EVENT_STORE_FILE} is missing."
            )
        with _owned(folder) as closing:
            file = SQLiteFile(folder.event_store_file, synchronous="FULL", is_read_only=True)
            closing.callback(file.close)
            reader = file.connect()
            closing.callback(reader.close)
            ledger_id = identify(reader, folder.event_store_file)
            return cls(file, ledger_id, closing.pop_all())

    @classmethod
    def open_target(cls, folder: Folder, new_id: UUID) -> Self:
        """Own a folder, with an empty ledger in it if there is none. StartRefused when that cannot
        be.
        """
        folder.create()
        with _owned(folder) as closing:
            file = SQLiteFile(folder.event_store_file, synchronous="FULL")
            closing.callback(file.close)
            writer = file.connect()
            closing.callback(writer.close)
            prepare(writer, folder.event_store_file, new_id)
            ledger_id = identify(writer, folder.event_store_file, may_be_half=True)
            endpoint = cls(file, ledger_id, closing.pop_all())
        endpoint._writer = writer
        return endpoint

    def close(self) -> None:
        """Close the file and release the folder."""
        self._closing.close()

    # -- reading --------------------------------------------------------------------------------

    @property
    def location(self) -> str:
        return str(self.file.path)

    def require_lock(self) -> None:
        """The lock ends with this process only."""

    def tail(self) -> Tail:
        with self.file.reading() as connection:
            row = connection.execute(_TAIL).fetchone()
        return Tail(*row) if row else Tail(0, genesis(self.ledger_id), 0)

    def chain_at(self, position: int) -> bytes | None:
        with self.file.reading() as connection:
            row = connection.execute(
                "SELECT chain FROM events WHERE position = ?", (position,)
            ).fetchone()
        return row[0] if row else None

    def count(self, table: Table) -> int:
        with self.file.reading() as connection:
            row = connection.execute(
                f"SELECT COUNT(*) FROM {table.name} WHERE {table.condition}"
            ).fetchone()
        return int(row[0])

    def page(self, table: Table, *, after: object, limit: int) -> list[Values]:
        begin, values = ("", ()) if after is None else (f"AND {table.key} > ?", (after,))
        with self.file.reading() as connection:
            return connection.execute(
                f"SELECT {', '.join(table.columns)} FROM {table.name} "
                f"WHERE {table.condition} {begin} ORDER BY {table.key} LIMIT ?",
                (*values, limit),
            ).fetchall()

    def meta(self) -> dict[str, str]:
        with self.file.reading() as connection:
            return dict(connection.execute("SELECT key, value FROM meta").fetchall())

    # -- writing --------------------------------------------------------------------------------

    def has_read_models(self) -> bool:
        return self.file.path.with_name(READ_MODELS_FILE).exists()

    def begin(self, ledger_id: UUID) -> None:
        with self._writing() as writer:
            meta = {"ledger_id": str(ledger_id), MOVE: UNDER_WAY}
            writer.executemany(_PUT_META, meta.items())
        self.ledger_id = ledger_id

    def missing(self, table: Table, rows: Sequence[Values]) -> list[Values]:
        here: set[object] = set()
        with self.file.reading() as connection:
            for start in range(0, len(rows), KEYS_AT_ONCE):
                keys = [row[0] for row in rows[start : start + KEYS_AT_ONCE]]
                placeholders = ", ".join("?" * len(keys))
                found = connection.execute(
                    f"SELECT {table.key} FROM {table.name} WHERE {table.key} IN ({placeholders})",
                    keys,
                )
                here.update(key for (key,) in found)
        return [row for row in rows if row[0] not in here]

    def add(self, table: Table, rows: Sequence[Values]) -> None:
        with self._writing() as writer:
            writer.executemany(_insert(table), rows)

    def replace(self, table: Table, pages: Iterator[list[Values]]) -> None:
        with self._writing() as writer:
            writer.execute(f"DELETE FROM {table.name}")
            for page in pages:
                writer.executemany(_insert(table), page)

    def finish(self, meta: Mapping[str, str]) -> None:
        with self._writing() as writer:
            writer.executemany(_PUT_META, {**meta, MOVE: DONE}.items())

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction; StorageFull or Unavailable when it failed."""
        writer = self._writer
        if writer is None:
            raise Unavailable(f"{self.location} is opened for reading only.")
        try:
            writer.execute("BEGIN IMMEDIATE")
            yield writer
            writer.execute("COMMIT")
        except sqlite3.Error as error:
            if "full" in str(error):
                raise StorageFull from error
            raise Unavailable(f"{self.location} could not be written ({error}).") from error
        finally:
            if writer.in_transaction:
                with suppress(sqlite3.Error):
                    writer.rollback()


def _insert(table: Table) -> str:
    placeholders = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({placeholders})"


@contextmanager
def _owned(folder: Folder) -> Iterator[ExitStack]:
    """Own a folder; what was opened is closed again if that fails."""
    with ExitStack() as closing:
        lock = OwnerLock(folder)
        lock.take()
        closing.callback(lock.release)
        folder.require_private(folder.event_store_file)
        yield closing

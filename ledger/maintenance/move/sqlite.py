"""One end of a move on SQLite: a ledger's file, owned while it is moved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Self
from uuid import UUID

from ledger.errors import StartRefused, StorageFull, Unavailable
from ledger.maintenance.move.endpoints import EndpointReads, Table, Values
from ledger.store.move_state import DONE, MOVE, UNDER_WAY
from ledger.store.sqlite.connections import SQLiteFile
from ledger.store.sqlite.folder import EVENT_STORE_FILE, READ_MODELS_FILE, Folder, OwnerLock
from ledger.store.sqlite.reads import SQLiteReads
from ledger.store.sqlite.schema import identify, prepare

KEYS_AT_ONCE = 500
_PUT_META = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"


class SQLiteEndpoint(EndpointReads, SQLiteReads):
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

    # -- writing --------------------------------------------------------------------------------

    def has_read_models(self) -> bool:
        return self.file.path.with_name(READ_MODELS_FILE).exists()

    def begin(self, ledger_id: UUID) -> None:
        with self._writing() as writer:
            meta = {"ledger_id": str(ledger_id), MOVE: UNDER_WAY}
            writer.executemany(_PUT_META, meta.items())
        self.ledger_id = ledger_id

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

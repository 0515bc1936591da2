"""SQLite connections: one for the writer, a few borrowed for reading, settings set and checked on
each.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ledger.errors import StartRefused, Unavailable
from ledger.store.sqlite.folder import PRIVATE

BUSY_SECONDS = 5.0
IDLE_READERS = 16
CACHE_KIB = 65_536
"""The writer's page cache."""
SYNCHRONOUS = {"FULL": 2, "NORMAL": 1}


class SQLiteFile:
    """One database file. Readers see the last committed state and never wait for the writer
    (WAL).
    """

    def __init__(self, path: Path, *, synchronous: str, is_read_only: bool = False) -> None:
        self.path = path
        self.synchronous = synchronous
        self.is_read_only = is_read_only
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def connect(self) -> sqlite3.Connection:
        """A connection for writing, checked; StartRefused with one line when the file is not
        usable.
        """
        try:
            if not self.is_read_only and not self.path.exists():
                self.path.touch(PRIVATE)  # its log and index are made with the same mode
            connection = self._open("ro" if self.is_read_only else "rwc")
            self._configure(connection)
        except (sqlite3.Error, OSError) as error:
            raise StartRefused(f"The database {self.path} cannot be opened: {error}.") from None
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection that cannot write."""
        connection = self._borrow()
        try:
            yield connection
        except sqlite3.OperationalError as error:
            raise Unavailable(f"The database could not be read ({error}): try again.") from error
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close the idle readers; borrowed ones are closed when they are returned."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _open(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_SECONDS,
        )

    def _configure(self, connection: sqlite3.Connection) -> None:
        if not self.is_read_only:
            connection.execute("PRAGMA journal_mode=WAL")
        self._require(connection, "journal_mode", "wal")
        connection.execute(f"PRAGMA synchronous={self.synchronous}")
        self._require(connection, "synchronous", SYNCHRONOUS[self.synchronous])
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")

    def _require(self, connection: sqlite3.Connection, setting: str, wanted: str | int) -> None:
        actual = connection.execute(f"PRAGMA {setting}").fetchone()[0]
        if actual != wanted:
            raise StartRefused(
                f"{self.path} has {setting}={actual}, but durable answers need {setting}={wanted}."
            )

    def _borrow(self) -> sqlite3.Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            connection = self._open("ro")
            connection.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            raise Unavailable(
                f"The database {self.path} cannot be opened for reading ({error})."
            ) from error
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            connection.rollback()
        with self._lock:
            if not self._is_closed and len(self._idle) < IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

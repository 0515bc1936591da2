"""One end of a move on PostgreSQL: a ledger's schema, with its append lock while it is moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.sql import Identifier

from ledger.errors import StartRefused, StorageFull, Unavailable
from ledger.maintenance.move.endpoints import EVENTS, TEXTS, TOKENS, EndpointReads, Table, Values
from ledger.store.move_state import DONE, MOVE, UNDER_WAY, require_complete_move
from ledger.store.postgres.connections import PostgresServer, one_line
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.migrations import READ_MODELS, migrate, require_version, version_of
from ledger.store.postgres.reads import PostgresReads
from ledger.store.postgres.statements import DATABASE_CLOCK

LOCK_SECONDS = 60
"""After so long without activity a move loses the lock on the source: one that hangs must not stop
the nodes for ever.
"""
_TYPES = {
    EVENTS: ("int8", "bytea", "int8", "text", "bytea", "int8", *("text",) * 5, "bytea"),
    TEXTS: ("text", "bytea", "bytea"),
}
_LIVING = f"SELECT node FROM nodes WHERE expires_at > {DATABASE_CLOCK} ORDER BY node LIMIT 1"
_PUT_META = (
    "INSERT INTO meta (key, value) VALUES (%s, %s) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_LOCK = "LOCK TABLE append_lock IN EXCLUSIVE MODE"


class PostgresEndpoint(EndpointReads, PostgresReads):
    """See `MoveSource` and `MoveTarget`."""

    def __init__(self, server: PostgresServer, own: psycopg.Connection[Any]) -> None:
        """`own` is the connection that holds the append lock of a source, and writes to a
        target.
        """
        super().__init__(server)
        self._own = own
        self._closing = ExitStack()
        self._own.execute("SET statement_timeout = 0")  # see `COMMIT_WAITS`
        self.ledger_id = self._identify()

    @classmethod
    def open_source(cls, address: PostgresDsn) -> Self:
        """Open a ledger and lock appends, so that no node can append. StartRefused when that fails,
        Unavailable while a dispatching node lives: its runs would be lost.
        """
        with ExitStack() as closing:
            server = PostgresServer(address)
            with server.first_connection() as connection:
                require_version(connection, address.location)
            endpoint = cls._opened(server, closing)
            require_complete_move(endpoint.meta().get(MOVE), address.location)
            endpoint._lock()
            endpoint._closing = closing.pop_all()
        return endpoint

    @classmethod
    def open_target(cls, address: PostgresDsn, new_id: UUID) -> Self:
        """Open the target, and create its schema where there is none. StartRefused when that
        fails.
        """
        with ExitStack() as closing:
            server = PostgresServer(address)
            with server.first_connection() as connection:
                if version_of(connection) == 0:
                    migrate(address, new_id=new_id)
                require_version(connection, address.location)
            endpoint = cls._opened(server, closing)
            endpoint._closing = closing.pop_all()
        return endpoint

    @classmethod
    def _opened(cls, server: PostgresServer, closing: ExitStack) -> Self:
        server.open_pool()
        closing.callback(server.close)
        own = server.first_connection()
        closing.callback(own.close)
        return cls(server, own)

    def close(self) -> None:
        """Close the connections, which releases the lock."""
        self._closing.close()

    # -- reading --------------------------------------------------------------------------------

    @property
    def location(self) -> str:
        return self.server.address.location

    def _lock(self) -> None:
        try:
            node = self._own.execute(_LIVING).fetchone()
            if node is not None:
                raise Unavailable(
                    f"Node {node[0]} is running on {self.location}: stop every node "
                    "first, and wait until its lease has expired."
                )
            self._own.execute(
                f"SET idle_in_transaction_session_timeout = '{LOCK_SECONDS}s'".encode()
            )
            self._own.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            self._own.execute(_LOCK)
        except psycopg.Error as error:
            raise Unavailable(
                f"{self.location} could not be locked ({one_line(error)}): try again."
            ) from error

    def require_lock(self) -> None:
        try:
            self._own.execute("SELECT 1")
        except psycopg.Error as error:
            raise Unavailable(
                f"The lock on {self.location} was lost ({one_line(error)}), and a "
                "node may have appended: run the same command again."
            ) from error

    def _identify(self) -> UUID:
        found = self.meta().get("ledger_id")
        if found is None:
            raise StartRefused(f"{self.location} has lost its ledger's id.")
        return UUID(found)

    # -- writing --------------------------------------------------------------------------------

    def has_read_models(self) -> bool:
        models = Identifier(self.server.address.projections_schema(READ_MODELS).schema, "models")
        named = models.as_string(self._own)
        if self._one("SELECT to_regclass(%s) IS NULL", (named,))[0]:
            return False
        return bool(self._one(f"SELECT COALESCE(MAX(position), 0) FROM {named}")[0])

    def begin(self, ledger_id: UUID) -> None:
        """See `MoveTarget`. Refuses StartRefused while the append lock is taken: by the source of
        this move, if it is the same location.
        """
        meta = {"ledger_id": str(ledger_id), MOVE: UNDER_WAY}
        with self._writing() as connection:
            self._lock_if_free(connection)
            connection.cursor().executemany(_PUT_META, list(meta.items()))
        self.ledger_id = ledger_id

    def add(self, table: Table, rows: Sequence[Values]) -> None:
        with self._writing() as connection:
            connection.execute(_LOCK)
            _copy(connection, table, rows)

    def replace(self, table: Table, pages: Iterator[list[Values]]) -> None:
        with self._writing() as connection:
            if (
                table is not TOKENS
            ):  # the application's role may not delete tokens, and none ever is
                connection.execute(f"DELETE FROM {table.name}".encode())
            for page in pages:
                connection.cursor().executemany(_put(table), page)

    def finish(self, meta: Mapping[str, str]) -> None:
        with self._writing() as connection:
            connection.cursor().executemany(_PUT_META, list({**meta, MOVE: DONE}.items()))

    def _lock_if_free(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.execute(f"{_LOCK} NOWAIT".encode())
        except psycopg.errors.LockNotAvailable:
            raise StartRefused(
                f"A process is appending to {self.location}, or it is the source "
                "itself: move into a location that is not in use."
            ) from None

    @contextmanager
    def _writing(self) -> Iterator[psycopg.Connection[Any]]:
        """One durable transaction; StorageFull or Unavailable when it failed, or its outcome is
        unknown.
        """
        try:
            with self._own.transaction():
                yield self._own
        except psycopg.errors.DiskFull as error:
            raise StorageFull from error
        except psycopg.Error as error:
            raise Unavailable(
                f"{self.location} could not be written ({one_line(error)}): run the "
                "same command again."
            ) from error


def _put(table: Table) -> str:
    placeholders = ", ".join(["%s"] * len(table.columns))
    changes = ", ".join(f"{name} = excluded.{name}" for name in table.columns[1:])
    return (
        f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({placeholders}) "
        f"ON CONFLICT ({table.key}) DO UPDATE SET {changes}"
    )


def _copy(connection: psycopg.Connection[Any], table: Table, rows: Sequence[Values]) -> None:
    statement = f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN (FORMAT BINARY)"
    with connection.cursor().copy(statement.encode()) as copy:
        copy.set_types(_TYPES[table])
        for row in rows:
            copy.write_row(row)

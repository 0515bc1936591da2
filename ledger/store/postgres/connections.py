"""PostgreSQL connections: one for the writer, a bounded pool for reading, settings set and checked
on each.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool

from ledger.errors import StartRefused, Unavailable
from ledger.store.postgres.dsn import PostgresDsn, require_readable
from ledger.store.records import PoolStats

READERS = 16
WAITING_READERS = 256
BORROW_SECONDS = 5.0
"""How long a query waits for a connection."""
IDLE_SECONDS = 60.0
RECONNECT_SECONDS = 2.0
"""How long the pool tries for one connection by itself. Its pauses double, so that it would stay
silent long after the database is back; a query starts it anew.
"""
CONNECT_SECONDS = 5
LOCK_SECONDS = 10
"""How long an append waits for the append lock."""
STATEMENT_SECONDS = 30
HELD_SECONDS = 5
"""After so long without activity a node loses the append lock: one that hangs must not stop the
others.
"""
CLOSE_SECONDS = 5.0
OLDEST = 140000
"""PostgreSQL 14."""

_SET = (
    "SELECT set_config('search_path', %(schema)s, false),"
    " set_config('default_transaction_isolation', 'read committed', false),"
    " set_config('lock_timeout', %(lock)s, false),"
    " set_config('statement_timeout', %(statement)s, false),"
    " set_config('idle_in_transaction_session_timeout', %(held)s, false)"
)
_WANTED: dict[str, tuple[str, ...]] = {
    "synchronous_commit": ("on", "remote_apply"),
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "server_encoding": ("UTF8",),
    "transaction_read_only": ("off",),
    "default_transaction_isolation": ("read committed",),
    "lock_timeout": (f"{LOCK_SECONDS}s",),
    "statement_timeout": (f"{STATEMENT_SECONDS}s",),
    "idle_in_transaction_session_timeout": (f"{HELD_SECONDS}s",),
}
"""Settings on which the promises of durable answers and bounded waits rest."""
_LOOK = "SELECT " + ", ".join(f"current_setting('{name}')" for name in _WANTED)


class PostgresServer:
    """One database server. Readers see the last committed state and never wait for the writer."""

    def __init__(self, address: PostgresDsn) -> None:
        self.address = address
        self._pool: ConnectionPool[Any] | None = None

    def connect(self) -> psycopg.Connection[Any]:
        """A connection, configured and checked. Raises StartRefused for a wrong setting,
        psycopg.Error when there is none.
        """
        connection = psycopg.connect(self.address.dsn, autocommit=True, **_OPTIONS)
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def first_connection(self) -> psycopg.Connection[Any]:
        """The connection that a start needs; StartRefused, in one line, when there is none."""
        require_readable(self.address)
        try:
            return self.connect()
        except psycopg.Error as error:
            raise StartRefused(
                f"The database {self.address.location} cannot be opened: {one_line(error)}."
            ) from None

    def open_pool(self) -> None:
        """Open the pool of connections for reading."""
        self._pool = ConnectionPool(
            self.address.dsn,
            kwargs={"autocommit": True, **_OPTIONS},
            configure=self._configure,
            check=_require_open,
            min_size=1,
            max_size=READERS,
            max_waiting=WAITING_READERS,
            max_idle=IDLE_SECONDS,
            timeout=BORROW_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            num_workers=1,
            name="ledger-readers",
            open=False,
        )
        self._pool.open()

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection[Any]]:
        """Borrow a connection for reading; Unavailable when there is none or it fails."""
        if self._pool is None:
            raise Unavailable("The ledger is closed.")
        try:
            with self._pool.connection() as connection:
                yield connection
        except psycopg.Error as error:
            raise Unavailable(
                f"The database could not be read ({one_line(error)}): try again."
            ) from error

    def pool(self) -> PoolStats:
        """How the pool is used now."""
        stats = self._pool.get_stats() if self._pool is not None else {}
        names = ("pool_size", "pool_available", "requests_waiting")
        return PoolStats(*(stats.get(name, 0) for name in names))

    def close(self) -> None:
        """Close every connection of the pool; borrowed ones when they are returned."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(CLOSE_SECONDS)

    def _configure(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            _SET,
            {
                "schema": sql.Identifier(self.address.schema).as_string(connection),
                "lock": f"{LOCK_SECONDS}s",
                "statement": f"{STATEMENT_SECONDS}s",
                "held": f"{HELD_SECONDS}s",
            },
        )
        self._require(connection)

    def _require(self, connection: psycopg.Connection[Any]) -> None:
        if connection.info.server_version < OLDEST:
            raise StartRefused(
                f"{self.address.location} is PostgreSQL "
                f"{connection.info.server_version // 10000}; jobledger needs "
                f"{OLDEST // 10000} or newer."
            )
        found = connection.execute(_LOOK).fetchone() or ()
        for (name, wanted), actual in zip(_WANTED.items(), found, strict=True):
            if actual not in wanted:
                raise StartRefused(
                    f"{self.address.location} has {name}={actual}, but durable answers need "
                    f"{name}={wanted[0]}."
                )


_OPTIONS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": HELD_SECONDS,
    "keepalives_interval": HELD_SECONDS,
    "tcp_user_timeout": STATEMENT_SECONDS * 1000,
    "application_name": "jobledger",
    "client_encoding": "utf8",
}


def is_open(connection: psycopg.Connection[Any]) -> bool:
    """Whether an idle connection is still open, as far as can be known without asking the server:
    one that it closed has something to read, and then its end.
    """
    waiting = select.poll()
    try:
        waiting.register(connection.fileno(), select.POLLIN)
        while not connection.closed and waiting.poll(0):
            connection.pgconn.consume_input()
    except psycopg.Error:
        return False
    return not connection.closed


def _require_open(connection: psycopg.Connection[Any]) -> None:
    """The pool's check before it lends a connection: without a query, which would cost as much as
    the one that follows. One that breaks unnoticed raises Unavailable.
    """
    if not is_open(connection):
        raise psycopg.OperationalError("the server closed the connection")


def one_line(error: BaseException) -> str:
    """A database's error message, as part of a sentence."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message.rstrip(".")

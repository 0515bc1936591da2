"""The copies on PostgreSQL: in a schema of their own beside the book's, kept by one node, asked by
all.

Dropping the schema's tables loses nothing but the time to fill them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ledger.errors import Unavailable
from ledger.store.postgres.connections import PostgresServer, one_line
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.leader_lock import PostgresLeaderLock
from ledger.store.postgres.migrations import READ_MODELS, ROLE
from projections.stores.contract import NOTHING, Row, Standing
from projections.stores.model import Model, Statement
from projections.stores.tables import MODELS, STANDINGS, TROUBLE, Tables, named, suffix

CHANNEL = "jobledger.copies."
"""Begins the channel that tells nodes that the copies have come further."""
LEADER_LOCK = "copies"
ROWS_AT_ONCE = 2000
_PREPARE_LOCK = 0x4A4C4350
"""`JLCP`: one node at a time makes the first tables."""
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")
_TEXT = re.compile(r"\bTEXT\b")
_KEYS = (
    "SELECT attribute.attname FROM pg_index JOIN pg_attribute AS attribute "
    "ON attribute.attrelid = pg_index.indrelid AND attribute.attnum = ANY(pg_index.indkey) "
    "WHERE pg_index.indrelid = to_regclass(:table) AND pg_index.indisprimary "
    "ORDER BY attribute.attnum"
)


class PostgresRowReader:
    """See `projections.stores.contract.Questions`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._cursor = connection.cursor(row_factory=dict_row)

    def rows(self, sql: str, values: Mapping[str, Any] = NOTHING, /) -> list[Row]:
        return list(self._cursor.execute(translated(sql), values).fetchall())

    def row(self, sql: str, values: Mapping[str, Any] = NOTHING, /) -> Row | None:
        return self._cursor.execute(translated(sql), values).fetchone()


class PostgresReadModelStore(Tables):
    """See `CopyStore`. Writes go over the office's own connection: who lost the office can write
    nothing more.
    """

    def __init__(self, event_store: PostgresDsn) -> None:
        """Beside a book."""
        self._server = PostgresServer(event_store.projections_schema(READ_MODELS))
        self._channel = f"{CHANNEL}{event_store.schema}"
        self.leader_lock = PostgresLeaderLock(
            self._server, LEADER_LOCK, prepare=self._prepare_session
        )
        with self._server.first_connection() as connection:
            _prepare(connection)
        self._server.open_pool()

    # -- the keeper's ---------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `CopyStore.transaction`. The other nodes are told of its commit."""
        try:
            with self._connection().transaction():
                yield
                self._run("SELECT pg_notify(:channel, '')", {"channel": self._channel})
        except psycopg.Error as error:
            raise Unavailable(f"The copies could not be written ({one_line(error)}).") from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """See `CopyStore.savepoint`."""
        connection = self._connection()
        try:
            with connection.transaction():
                yield
        except psycopg.OperationalError as error:
            raise Unavailable(f"The copies could not be written ({one_line(error)}).") from error

    def apply(self, statements: Iterable[Statement], generation: int) -> None:
        """See `CopyStore.apply`. Sent in one go: an answer to each would cost more than
        the work.
        """
        connection, text = self._connection(), suffix(generation)
        with connection.pipeline(), connection.cursor() as cursor:
            for sql, values in statements:
                cursor.execute(translated(named(sql, text)), values)

    def _run(self, sql: str, values: Mapping[str, Any] = NOTHING) -> Sequence[Sequence[Any]]:
        cursor = self._connection().execute(translated(sql), values)
        return cursor.fetchall() if cursor.description else ()

    def _connection(self) -> psycopg.Connection[Any]:
        connection = self.leader_lock.connection
        if connection is None:
            raise Unavailable("Another node keeps the copies.")
        return connection

    def _schema(self, model: Model, generation: int) -> str:
        return _in_our_words(super()._schema(model, generation))

    def _keys(self, table: str) -> Sequence[str]:
        return [row[0] for row in self._run(_KEYS, {"table": table})]

    def _all(self, table: str) -> Iterator[Sequence[object]]:
        order = ", ".join(self._keys(table))
        connection = self._connection()
        with connection.transaction(), connection.cursor("rows_of_a_table") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            yield from cursor.execute(f"SELECT * FROM {table} ORDER BY {order}".encode())

    # -- everybody's ----------------------------------------------------------------------------

    def told_standings(self) -> dict[str, Standing]:
        """Where the models stand, by their names, over a reader's connection: for nodes that do not
        keep the copies.
        """
        with self._server.reading() as connection:
            rows = connection.execute(STANDINGS.encode()).fetchall()
        return {name: Standing(*where) for name, *where in rows}

    def wait_for_news(self, seconds: float) -> None:
        """Wait until the keeper tells that something was committed, at most so long."""
        session = self.leader_lock.session
        if session is not None:
            for _ in session.notifies(timeout=seconds, stop_after=1):
                pass

    def stop_listening(self) -> None:
        """The keeper needs no news of its own."""
        self._run("UNLISTEN *")

    @contextmanager
    def reading(self) -> Iterator[PostgresRowReader]:
        """See `CopyStore.reading`."""
        with self._server.reading() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresRowReader(connection)

    def close(self) -> None:
        """See `CopyStore.close`."""
        self.leader_lock.close()
        self._server.close()

    def _prepare_session(self, session: psycopg.Connection[Any]) -> None:
        """Copies that a crash takes back are made again, so no commit waits for the disk."""
        _set_role(session)
        session.execute("SET synchronous_commit = off")
        session.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))


@lru_cache(maxsize=1000)
def translated(sql: str) -> bytes:
    """A statement with `:named` parameters as the driver wants it."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")).encode()


def _in_our_words(schema: str) -> str:
    """SQLite's `INTEGER` holds 64 bits, and its texts are ordered by their bytes."""
    schema = _TEXT.sub('TEXT COLLATE "C"', schema).replace(" WITHOUT ROWID", "")
    return schema.replace(" INTEGER", " BIGINT")


def _prepare(connection: psycopg.Connection[Any]) -> None:
    """Make what every node looks at, whoever keeps the copies."""
    _set_role(connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PREPARE_LOCK,))
        connection.execute(_in_our_words(MODELS).encode())
        connection.execute(_in_our_words(TROUBLE).encode())


def _set_role(connection: psycopg.Connection[Any]) -> None:
    """Tables belong to the application's role, so that every node may replace them, whatever user
    it logs in as.
    """
    with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
        connection.execute(f"SET ROLE {ROLE}".encode())

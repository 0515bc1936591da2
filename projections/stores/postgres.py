"""Read models on PostgreSQL, in a schema of their own beside the event store's: one node updates
them, all nodes read them. Dropping the tables costs only the time to rebuild them.
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
from projections.stores.model import Model, Statement
from projections.stores.rows import NO_VALUES, Row
from projections.stores.store import (
    FAILURES_TABLE,
    MODELS_TABLE,
    SELECT_MODELS,
    ReadModelStore,
    StoredModel,
    suffix,
    with_suffix,
)

CHANNEL = "jobledger.projections."
"""Prefix of the channel that notifies nodes of commits."""
LEADER_LOCK = "projections"
ROWS_AT_ONCE = 2000
_PREPARE_LOCK = 0x4A4C4350
"""`JLCP`: one node at a time creates the first tables."""
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")
_TEXT = re.compile(r"\bTEXT\b")
_KEYS = (
    "SELECT attribute.attname FROM pg_index JOIN pg_attribute AS attribute "
    "ON attribute.attrelid = pg_index.indrelid AND attribute.attnum = ANY(pg_index.indkey) "
    "WHERE pg_index.indrelid = to_regclass(:table) AND pg_index.indisprimary "
    "ORDER BY attribute.attnum"
)


class PostgresRowReader:
    """See `projections.stores.rows.RowReader`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._cursor = connection.cursor(row_factory=dict_row)

    def rows(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> list[Row]:
        return list(self._cursor.execute(translated(sql), values).fetchall())

    def row(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> Row | None:
        return self._cursor.execute(translated(sql), values).fetchone()


class PostgresReadModelStore(ReadModelStore):
    """See `projections.stores.store.ReadModelStore`. Writes use the leader lock's own
    connection: a node that lost the lock can write nothing more.
    """

    is_local = False

    def __init__(self, event_store: PostgresDsn) -> None:
        self._server = PostgresServer(event_store.projections_schema(READ_MODELS))
        self._channel = f"{CHANNEL}{event_store.schema}"
        self.leader_lock = PostgresLeaderLock(
            self._server, LEADER_LOCK, prepare=self._prepare_session
        )
        with self._server.first_connection() as connection:
            _prepare(connection)
        self._server.open_pool()

    # -- the leader's ---------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `ReadModelStore.transaction`. The commit notifies the other nodes."""
        try:
            with self._connection().transaction():
                yield
                self._run("SELECT pg_notify(:channel, '')", {"channel": self._channel})
        except psycopg.Error as error:
            raise _not_written(error) from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """See `ReadModelStore.savepoint`."""
        connection = self._connection()
        try:
            with connection.transaction():
                yield
        except psycopg.OperationalError as error:
            raise _not_written(error) from error

    def apply(self, statements: Iterable[Statement], generation: int) -> None:
        """See `ReadModelStore.apply`. Pipelined: a round trip for each statement would cost
        more than its work.
        """
        connection, text = self._connection(), suffix(generation)
        with connection.pipeline(), connection.cursor() as cursor:
            for sql, values in statements:
                cursor.execute(translated(with_suffix(sql, text)), values)

    def _run(self, sql: str, values: Mapping[str, Any] = NO_VALUES) -> Sequence[Sequence[Any]]:
        cursor = self._connection().execute(translated(sql), values)
        return cursor.fetchall() if cursor.description else ()

    def _connection(self) -> psycopg.Connection[Any]:
        connection = self.leader_lock.connection
        if connection is None:
            raise Unavailable("Another node updates the read models.")
        return connection

    def _schema(self, model: Model, generation: int) -> str:
        return _in_dialect(super()._schema(model, generation))

    def _keys(self, table: str) -> Sequence[str]:
        return [row[0] for row in self._run(_KEYS, {"table": table})]

    def _all(self, table: str) -> Iterator[Sequence[object]]:
        order = ", ".join(self._keys(table))
        connection = self._connection()
        with connection.transaction(), connection.cursor("rows_of_a_table") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            yield from cursor.execute(f"SELECT * FROM {table} ORDER BY {order}".encode())

    # -- every node's ---------------------------------------------------------------------------

    def stored_models(self) -> dict[str, StoredModel]:
        """What is stored of each model, by name, read over a reader's connection."""
        with self._server.reading() as connection:
            rows = connection.execute(SELECT_MODELS.encode()).fetchall()
        return {name: StoredModel(*columns) for name, *columns in rows}

    def wait_for_commit(self, seconds: float) -> None:
        """Wait for the leader's next commit, at most so long."""
        session = self.leader_lock.session
        if session is not None:
            for _ in session.notifies(timeout=seconds, stop_after=1):
                pass

    def stop_listening(self) -> None:
        """Stop listening for commits: this node is the leader."""
        self._run("UNLISTEN *")

    @contextmanager
    def reading(self) -> Iterator[PostgresRowReader]:
        """See `ReadModelStore.reading`."""
        with self._server.reading() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield PostgresRowReader(connection)

    def close(self) -> None:
        """See `ReadModelStore.close`."""
        self.leader_lock.close()
        self._server.close()

    def _prepare_session(self, session: psycopg.Connection[Any]) -> None:
        """A commit need not wait for the disk: rows lost by a crash are made again from events."""
        _set_role(session)
        session.execute("SET synchronous_commit = off")
        session.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))


def _not_written(error: psycopg.Error) -> Unavailable:
    return Unavailable(f"The read models could not be written ({one_line(error)}).")


@lru_cache(maxsize=1000)
def translated(sql: str) -> bytes:
    """A statement with `:named` parameters in the driver's notation."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%")).encode()


def _in_dialect(schema: str) -> str:
    """The schema in PostgreSQL's types: SQLite's `INTEGER` has 64 bits, and its texts are ordered
    by their bytes.
    """
    schema = _TEXT.sub('TEXT COLLATE "C"', schema).replace(" WITHOUT ROWID", "")
    return schema.replace(" INTEGER", " BIGINT")


def _prepare(connection: psycopg.Connection[Any]) -> None:
    """Create the tables that every node reads, whichever is the leader."""
    _set_role(connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PREPARE_LOCK,))
        connection.execute(_in_dialect(MODELS_TABLE).encode())
        connection.execute(_in_dialect(FAILURES_TABLE).encode())


def _set_role(connection: psycopg.Connection[Any]) -> None:
    """Let the tables belong to the application's role: then every node may replace them, whatever
    user it logs in as.
    """
    with suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
        connection.execute(f"SET ROLE {ROLE}".encode())

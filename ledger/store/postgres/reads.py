"""Reading from PostgreSQL, over pooled connections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ledger.store.postgres.connections import PostgresServer
from ledger.store.sql_reads import Cursor, Execute, SqlReads

IDS_PER_QUERY = 2000


class PostgresReads(SqlReads):
    """See `SqlReads`."""

    lease_change = "change"

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    @contextmanager
    def reading(self) -> Iterator[Execute]:
        with self.server.reading() as connection:

            def execute(statement: str, values: Sequence[Any]) -> Cursor:
                return connection.execute(translated(statement), values, binary=True)

            yield execute

    def _texts(self, columns: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        # One array instead of a placeholder for each id: one prepared statement serves every count.
        for start in range(0, len(ids), IDS_PER_QUERY):
            statement = f"SELECT {columns} FROM texts WHERE id = ANY(?)"
            yield from self._rows(statement, (list(ids[start : start + IDS_PER_QUERY]),))


@lru_cache(maxsize=512)
def translated(statement: str) -> bytes:
    """The statement with the driver's placeholders."""
    return statement.replace("?", "%s").encode()

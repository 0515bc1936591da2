"""Reading from SQLite, over connections apart from the writer's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.store.hash_chain import EventRow
from ledger.store.sql_reads import LOWEST_POSITION, ROWS, ROWS_PER_PAGE, Execute, SqlReads
from ledger.store.sqlite.connections import SQLiteFile


class SQLiteReads(SqlReads):
    """See `SqlReads`."""

    unindexed = " NOT INDEXED"
    ignore_index = "+"

    def __init__(self, file: SQLiteFile) -> None:
        self.file = file

    @contextmanager
    def reading(self) -> Iterator[Execute]:
        with self.file.reading() as connection:
            yield connection.execute

    def rows(self, *, after: int | None = None) -> Iterator[EventRow]:
        """Row by row, so that an unreadable one raises at its own position; without `after` forged
        positions below 1 are read too.
        """
        first = LOWEST_POSITION if after is None else after + 1
        with self.reading() as execute:
            count = ROWS_PER_PAGE
            while count == ROWS_PER_PAGE:
                count = 0
                for row in execute(ROWS, (first, ROWS_PER_PAGE)):
                    yield EventRow(*row)
                    first, count = row[0] + 1, count + 1

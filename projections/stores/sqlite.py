"""Read models on SQLite, in a file of their own. Deleting it costs only the time to rebuild it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from ledger.errors import Unavailable
from ledger.store.sqlite.connections import SQLiteFile
from projections.stores.model import Statement
from projections.stores.rows import NO_VALUES, Row
from projections.stores.store import (
    FAILURES_TABLE,
    MODELS_TABLE,
    ReadModelStore,
    suffix,
    with_suffix,
)


class SQLiteRowReader:
    """See `projections.stores.rows.RowReader`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> list[Row]:
        cursor = self._connection.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> Row | None:
        return next(iter(self.rows(sql, values)), None)


class SQLiteReadModelStore(ReadModelStore):
    """See `projections.stores.store.ReadModelStore`."""

    is_local = True

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self.file = SQLiteFile(path, synchronous="NORMAL", is_read_only=is_read_only)
        self._writer = self.file.connect()
        if not is_read_only:
            self._writer.execute(MODELS_TABLE)
            self._writer.execute(FAILURES_TABLE)
            path.chmod(0o600)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `ReadModelStore.transaction`."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            yield
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(f"The read models could not be written ({error}).") from error
        finally:
            if self._writer.in_transaction:
                with suppress(sqlite3.Error):
                    self._writer.rollback()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """See `ReadModelStore.savepoint`."""
        self._writer.execute("SAVEPOINT share")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK TO share")
            raise
        finally:
            self._writer.execute("RELEASE share")

    def apply(self, statements: Iterable[Statement], generation: int) -> None:
        """See `ReadModelStore.apply`. Equal statements in a row run as one: most of a busy
        page are equal.
        """
        text = suffix(generation)
        for sql, equal in groupby(statements, key=itemgetter(0)):
            self._writer.executemany(with_suffix(sql, text), [values for _, values in equal])

    @contextmanager
    def reading(self) -> Iterator[SQLiteRowReader]:
        """See `ReadModelStore.reading`."""
        with self.file.reading() as connection:
            connection.execute("BEGIN")
            yield SQLiteRowReader(connection)

    def close(self) -> None:
        """See `ReadModelStore.close`."""
        self.file.close()
        self._writer.close()

    def _run(self, sql: str, values: Mapping[str, Any] = NO_VALUES) -> Sequence[Sequence[Any]]:
        return self._writer.execute(sql, values).fetchall()

    def _all(self, table: str) -> Iterator[Sequence[object]]:
        yield from self._writer.execute(
            f"SELECT * FROM {table} ORDER BY {', '.join(self._keys(table))}"
        )

    def _keys(self, table: str) -> Sequence[str]:
        return [row[1] for row in self._writer.execute(f"PRAGMA table_info({table})") if row[5]]

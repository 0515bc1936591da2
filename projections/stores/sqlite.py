"""The copies on SQLite: a file of their own, which may be deleted at any time and costs only the
time to fill it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson

from ledger.errors import Unavailable
from ledger.store.connections import SQLiteFile
from projections.model import Model, Statement

_MODELS = """
CREATE TABLE IF NOT EXISTS models (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    position INTEGER NOT NULL
)
"""
_PUT = (
    "INSERT INTO models (name, version, generation, position) VALUES (:name, :version, "
    ":generation, :position) "
    "ON CONFLICT (name) DO UPDATE SET version = :version, generation = :generation, position = "
    ":position"
)
_MOVE = "UPDATE models SET position = :position WHERE name = :name"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a model's tables stand: of which version, in which generation, up to which position."""

    version: int
    generation: int
    position: int


class SQLiteCopies:
    """Tables of the read models. One thread writes; readers see committed rows with the position
    they belong to.
    """

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self.file = SQLiteFile(path, synchronous="NORMAL", is_read_only=is_read_only)
        self._writer = self.file.connect()
        if not is_read_only:
            self._writer.execute(_MODELS)
            path.chmod(0o600)

    def standing(self, model: Model) -> Standing | None:
        """Where the tables that answer stand, or None while there are none."""
        row = self._writer.execute(
            "SELECT version, generation, position FROM models WHERE name = ?", (model.NAME,)
        ).fetchone()
        return Standing(*row) if row else None

    def create(self, model: Model, generation: int) -> None:
        """Make empty tables of a generation, dropping left-overs of a build that did not finish."""
        with self.transaction():
            self._drop(model, generation)
            for statement in model.SCHEMA.replace("{g}", suffix(generation)).split(";"):
                if statement.strip():
                    self._writer.execute(statement)

    def swap(self, model: Model, standing: Standing, *, retired: int | None) -> None:
        """Let a generation answer from now on, in one transaction, and drop the one before."""
        with self.transaction():
            for table in model.TABLES:
                self._writer.execute(f"DROP VIEW IF EXISTS {table}")
                self._writer.execute(
                    f"CREATE VIEW {table} AS SELECT * FROM {table}{suffix(standing.generation)}"
                )
            self._writer.execute(
                _PUT,
                {
                    "name": model.NAME,
                    "version": standing.version,
                    "generation": standing.generation,
                    "position": standing.position,
                },
            )
            if retired is not None:
                self._drop(model, retired)

    def apply(self, statements: Iterable[Statement], generation: int) -> None:
        """Run a model's statements on one generation of its tables; the caller holds the
        transaction.
        """
        execute, text = self._writer.execute, suffix(generation)
        for sql, values in statements:
            execute(_named(sql, text), values)

    def move(self, model: Model, position: int) -> None:
        """Record how far a model has come; the caller holds the transaction."""
        self._writer.execute(_MOVE, {"name": model.NAME, "position": position})

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside, or nothing; when the file is in trouble Unavailable, and only the file
        knows which.
        """
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            yield
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(f"The copies could not be written ({error}).") from error
        finally:
            if self._writer.in_transaction:
                with suppress(sqlite3.Error):
                    self._writer.rollback()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """One model's share of a transaction: if it fails, only that is undone, and the error goes
        on.
        """
        self._writer.execute("SAVEPOINT share")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK TO share")
            raise
        finally:
            self._writer.execute("RELEASE share")

    def digest(self, model: Model, generation: int) -> str:
        """SHA-256 over every row of a generation, in key order: equal for equal copies."""
        total = sha256()
        for table in model.TABLES:
            total.update(table.encode())
            for row in self._rows(f"{table}{suffix(generation)}"):
                total.update(orjson.dumps(row))
        return total.hexdigest()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for questions; rows answer by column name."""
        with self.file.reading() as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            yield connection

    def close(self) -> None:
        """Give the file back."""
        self.file.close()
        self._writer.close()

    def _rows(self, table: str) -> Iterator[Sequence[object]]:
        keys = [row[1] for row in self._writer.execute(f"PRAGMA table_info({table})") if row[5]]
        yield from self._writer.execute(f"SELECT * FROM {table} ORDER BY {', '.join(keys)}")

    def _drop(self, model: Model, generation: int) -> None:
        for table in model.TABLES:
            self._writer.execute(f"DROP TABLE IF EXISTS {table}{suffix(generation)}")


def suffix(generation: int) -> str:
    """What stands behind a table's name for a generation."""
    return f"_{generation}"


_NAMED: dict[tuple[str, str], str] = {}


def _named(sql: str, text: str) -> str:
    named = _NAMED.get((sql, text))
    if named is None:
        named = _NAMED[sql, text] = sql.replace("{g}", text)
    return named

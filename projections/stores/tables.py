"""What the copies do with their tables in the same words on every database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any

import orjson

from projections.stores.contract import NOTHING, Standing
from projections.stores.model import Model

MODELS = """
CREATE TABLE IF NOT EXISTS models (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    position BIGINT NOT NULL
)
"""
TROUBLE = """
CREATE TABLE IF NOT EXISTS trouble (
    name TEXT PRIMARY KEY,
    broken_at BIGINT NOT NULL,
    problem TEXT
)
"""
STANDINGS = (
    "SELECT models.name, models.version, models.generation, models.position, trouble.broken_at, "
    "trouble.problem FROM models LEFT JOIN trouble ON trouble.name = models.name"
)
_PUT = (
    "INSERT INTO models (name, version, generation, position) "
    "VALUES (:name, :version, :generation, :position) "
    "ON CONFLICT (name) DO UPDATE SET version = excluded.version, "
    "generation = excluded.generation, position = excluded.position"
)
_MOVE = "UPDATE models SET position = :position WHERE name = :name"
_FORGET_TROUBLE = "DELETE FROM trouble WHERE name = :name"
_PUT_TROUBLE = "INSERT INTO trouble (name, broken_at, problem) VALUES (:name, :broken_at, :problem)"


class Tables(ABC):
    """The writing half of the copy store contract, given how a database runs one statement."""

    @abstractmethod
    def _run(self, sql: str, values: Mapping[str, Any] = NOTHING) -> Sequence[Sequence[Any]]:
        """Run one statement with `:named` parameters on the writer's connection; the rows
        it gives.
        """

    @abstractmethod
    def _keys(self, table: str) -> Sequence[str]:
        """What orders a table's rows: the columns of its primary key."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """See `CopyStore.transaction`."""

    def _schema(self, model: Model, generation: int) -> str:
        """The statements that make a generation's tables, in this database's words."""
        return model.SCHEMA.replace("{g}", suffix(generation))

    def standing(self, model: Model) -> Standing | None:
        rows = self._run(f"{STANDINGS} WHERE models.name = :name", {"name": model.NAME})
        return Standing(*rows[0][1:]) if rows else None

    def create(self, model: Model, generation: int) -> None:
        with self.transaction():
            self._drop(model, generation)
            for statement in self._schema(model, generation).split(";"):
                if statement.strip():
                    self._run(statement)

    def swap(self, model: Model, standing: Standing, *, retired: int | None) -> None:
        with self.transaction():
            for table in model.TABLES:
                self._run(f"DROP VIEW IF EXISTS {table}")
                self._run(
                    f"CREATE VIEW {table} AS SELECT * FROM {table}{suffix(standing.generation)}"
                )
            self._run(
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

    def move(self, model: Model, position: int) -> None:
        self._run(_MOVE, {"name": model.NAME, "position": position})

    def note_trouble(self, model: Model, broken_at: int | None, problem: str | None) -> None:
        self._run(_FORGET_TROUBLE, {"name": model.NAME})
        if broken_at is not None:
            told = {"name": model.NAME, "broken_at": broken_at, "problem": problem}
            self._run(_PUT_TROUBLE, told)

    def digest(self, model: Model, generation: int) -> str:
        total = sha256()
        for table in model.TABLES:
            total.update(table.encode())
            for row in self._all(f"{table}{suffix(generation)}"):
                total.update(orjson.dumps(row))
        return total.hexdigest()

    def _all(self, table: str) -> Iterator[Sequence[object]]:
        """A table's rows in the order of its key, as few at a time as the database can give."""
        yield from self._run(f"SELECT * FROM {table} ORDER BY {', '.join(self._keys(table))}")

    def _drop(self, model: Model, generation: int) -> None:
        for table in model.TABLES:
            self._run(f"DROP TABLE IF EXISTS {table}{suffix(generation)}")


def suffix(generation: int) -> str:
    """What stands behind a table's name for a generation."""
    return f"_{generation}"


_NAMED: dict[tuple[str, str], str] = {}


def named(sql: str, text: str) -> str:
    """A statement of a model's for one generation, remembered: there are few, and they
    come often.
    """
    known = _NAMED.get((sql, text))
    if known is None:
        known = _NAMED[sql, text] = sql.replace("{g}", text)
    return known

"""The store of the read models: what they ask of their tables, and the statements that both
databases share. One contract suite runs against each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar

import orjson

from projections.stores.model import Model, Statement
from projections.stores.rows import NO_VALUES, RowReader

MODELS_TABLE = """
CREATE TABLE IF NOT EXISTS models (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    position BIGINT NOT NULL
)
"""
FAILURES_TABLE = """
CREATE TABLE IF NOT EXISTS trouble (
    name TEXT PRIMARY KEY,
    broken_at BIGINT NOT NULL,
    problem TEXT
)
"""
SELECT_MODELS = (
    "SELECT models.name, models.version, models.generation, models.position, trouble.broken_at, "
    "trouble.problem FROM models LEFT JOIN trouble ON trouble.name = models.name"
)
_PUT = (
    "INSERT INTO models (name, version, generation, position) "
    "VALUES (:name, :version, :generation, :position) "
    "ON CONFLICT (name) DO UPDATE SET version = excluded.version, "
    "generation = excluded.generation, position = excluded.position"
)
_SET_POSITION = "UPDATE models SET position = :position WHERE name = :name"
_DELETE_FAILURE = "DELETE FROM trouble WHERE name = :name"
_PUT_FAILURE = "INSERT INTO trouble (name, broken_at, problem) VALUES (:name, :broken_at, :problem)"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What is stored of a model: its version, its generation of tables, the last position applied
    to them; and the event that stopped it, if one did.
    """

    version: int
    generation: int
    position: int
    broken_at: int | None = None
    problem: str | None = None


class ReadModelStore(ABC):
    """Tables of the read models. One thread writes; readers see committed rows together with the
    position they belong to.
    """

    is_local: ClassVar[bool]
    """Whether a row is read from a file of this machine, in some ten microseconds."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Commits everything inside, or nothing. Raises Unavailable when the database fails; then
        only the database knows whether it committed.
        """

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """One model's part of a transaction: an error undoes this part alone and is raised again.
        Raises Unavailable for errors of the database.
        """

    @abstractmethod
    def apply(self, statements: Iterable[Statement], generation: int) -> None:
        """Run a model's statements on one generation, inside the caller's transaction."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[RowReader]:
        """One committed state of the tables, from any thread. Raises Unavailable without one."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

    def stored_model(self, model: Model) -> StoredModel | None:
        """What is stored of a model; None while it has no tables."""
        rows = self._run(f"{SELECT_MODELS} WHERE models.name = :name", {"name": model.NAME})
        return StoredModel(*rows[0][1:]) if rows else None

    def create(self, model: Model, generation: int) -> None:
        """Create empty tables of a generation; drops those of a build that did not finish."""
        with self.transaction():
            self._drop(model, generation)
            for statement in self._schema(model, generation).split(";"):
                if statement.strip():
                    self._run(statement)

    def swap(self, model: Model, stored: StoredModel, *, retired: int | None) -> None:
        """Make readers see a generation, in one transaction, and drop the retired one."""
        version, generation, position = stored.version, stored.generation, stored.position
        values = {"version": version, "generation": generation, "position": position}
        text = suffix(generation)
        with self.transaction():
            for table in model.TABLES:
                self._run(f"DROP VIEW IF EXISTS {table}")
                self._run(f"CREATE VIEW {table} AS SELECT * FROM {table}{text}")
            self._run(_PUT, {"name": model.NAME, **values})
            if retired is not None:
                self._drop(model, retired)

    def set_position(self, model: Model, position: int) -> None:
        """Record the last position applied, inside the caller's transaction."""
        self._run(_SET_POSITION, {"name": model.NAME, "position": position})

    def set_failure(self, model: Model, broken_at: int | None, problem: str | None) -> None:
        """Record what stopped a model (None: nothing), inside the caller's transaction."""
        self._run(_DELETE_FAILURE, {"name": model.NAME})
        if broken_at is not None:
            values = {"name": model.NAME, "broken_at": broken_at, "problem": problem}
            self._run(_PUT_FAILURE, values)

    def digest(self, model: Model, generation: int) -> str:
        """SHA-256 over every row of a generation in key order: equal for equal tables."""
        total = sha256()
        for table in model.TABLES:
            total.update(table.encode())
            for row in self._all(f"{table}{suffix(generation)}"):
                total.update(orjson.dumps(row))
        return total.hexdigest()

    @abstractmethod
    def _run(self, sql: str, values: Mapping[str, Any] = NO_VALUES) -> Sequence[Sequence[Any]]:
        """Run one statement on the writer's connection; the rows of its result."""

    @abstractmethod
    def _all(self, table: str) -> Iterator[Sequence[object]]:
        """A table's rows in key order, fetched in parts."""

    def _schema(self, model: Model, generation: int) -> str:
        """The statements that create a generation's tables, in this database's dialect."""
        return model.SCHEMA.replace("{g}", suffix(generation))

    def _drop(self, model: Model, generation: int) -> None:
        for table in model.TABLES:
            self._run(f"DROP TABLE IF EXISTS {table}{suffix(generation)}")


def suffix(generation: int) -> str:
    """What follows a table's name for a generation."""
    return f"_{generation}"


_SUFFIXED: dict[tuple[str, str], str] = {}


def with_suffix(sql: str, text: str) -> str:
    """A model's statement for one generation. Cached: there are few, and each runs often."""
    known = _SUFFIXED.get((sql, text))
    if known is None:
        known = _SUFFIXED[sql, text] = sql.replace("{g}", text)
    return known

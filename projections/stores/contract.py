"""The read model store contract: what read models ask of their tables, on every database. One
contract suite runs against each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from projections.stores.model import Model, Statement

Row = Mapping[str, Any]
"""One row, by the names of its columns."""
NO_VALUES: Mapping[str, Any] = {}


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


class RowReader(Protocol):
    """Reads one committed state of the tables, with SQL whose parameters are `:named`."""

    def rows(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> Sequence[Row]:
        """Every row of the result."""
        ...

    def row(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> Row | None:
        """The first row of the result, or None."""
        ...


def lowest_position(reader: RowReader, needs: Collection[str]) -> int:
    """The position that all the models named (without names: all models) have reached."""
    rows = reader.rows("SELECT name, position FROM models")
    return min(int(row["position"]) for row in rows if not needs or row["name"] in needs)


class ReadModelStore(Protocol):
    """Tables of the read models. One thread writes; readers see committed rows together with the
    position they belong to.
    """

    def stored_model(self, model: Model) -> StoredModel | None:
        """What is stored of a model; None while it has no tables."""
        ...

    def create(self, model: Model, generation: int) -> None:
        """Create empty tables of a generation; drops those of a build that did not finish."""
        ...

    def swap(self, model: Model, stored: StoredModel, *, retired: int | None) -> None:
        """Make readers see a generation, in one transaction, and drop the retired one."""
        ...

    def apply(self, statements: Iterable[Statement], generation: int) -> None:
        """Run a model's statements on one generation, inside the caller's transaction."""
        ...

    def set_position(self, model: Model, position: int) -> None:
        """Record the last position applied, inside the caller's transaction."""
        ...

    def set_failure(self, model: Model, broken_at: int | None, problem: str | None) -> None:
        """Record what stopped a model (None: nothing), inside the caller's transaction."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Commits everything inside, or nothing. Raises Unavailable when the database fails; then
        only the database knows whether it committed.
        """
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """One model's part of a transaction: an error undoes this part alone and is raised again.
        Raises Unavailable for errors of the database.
        """
        ...

    def digest(self, model: Model, generation: int) -> str:
        """SHA-256 over every row of a generation in key order: equal for equal tables."""
        ...

    def reading(self) -> AbstractContextManager[RowReader]:
        """One committed state of the tables, from any thread. Raises Unavailable without one."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...

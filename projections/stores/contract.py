"""The copy store contract: what the read models ask of their tables, on whatever database. One
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
NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a model's tables stand: of which version, in which generation, up to which position;
    and the event that stopped it, if one did.
    """

    version: int
    generation: int
    position: int
    broken_at: int | None = None
    problem: str | None = None


class RowReader(Protocol):
    """Questions to one committed state of the tables. SQL with `:named` parameters."""

    def rows(self, sql: str, values: Mapping[str, Any] = NOTHING, /) -> Sequence[Row]:
        """Every row of the answer."""
        ...

    def row(self, sql: str, values: Mapping[str, Any] = NOTHING, /) -> Row | None:
        """The first row of the answer, or None."""
        ...


def reached(questions: RowReader, needs: Collection[str]) -> int:
    """How far the models that are needed have come in the state that is asked; all of them, if none
    is named.
    """
    rows = questions.rows("SELECT name, position FROM models")
    return min(int(row["position"]) for row in rows if not needs or row["name"] in needs)


class ReadModelStore(Protocol):
    """Tables of the read models. One thread writes; readers see committed rows with the position
    they belong to.
    """

    def standing(self, model: Model) -> Standing | None:
        """Where the tables that answer stand, or None while there are none."""
        ...

    def create(self, model: Model, generation: int) -> None:
        """Make empty tables of a generation, dropping left-overs of a build that did not finish."""
        ...

    def swap(self, model: Model, standing: Standing, *, retired: int | None) -> None:
        """Let a generation answer from now on, in one transaction, and drop the one before."""
        ...

    def apply(self, statements: Iterable[Statement], generation: int) -> None:
        """Run a model's statements on one generation of its tables; the caller holds the
        transaction.
        """
        ...

    def move(self, model: Model, position: int) -> None:
        """Record how far a model has come; the caller holds the transaction."""
        ...

    def note_trouble(self, model: Model, broken_at: int | None, problem: str | None) -> None:
        """Record what stopped a model, or that nothing does; the caller holds the transaction."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside, or nothing; when the database is in trouble Unavailable, and only it
        knows which.
        """
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """One model's share of a transaction: if it fails, only that is undone, and the error goes
        on. Unavailable when that was no fault of the model's.
        """
        ...

    def digest(self, model: Model, generation: int) -> str:
        """SHA-256 over every row of a generation, in key order: equal for equal copies."""
        ...

    def reading(self) -> AbstractContextManager[RowReader]:
        """A look at the tables from any thread; Unavailable when there is none to be had."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...

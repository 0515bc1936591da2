"""Reads one committed state of the read models, with the same SQL on every database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

Row = Mapping[str, Any]
"""One row, by the names of its columns."""
NO_VALUES: Mapping[str, Any] = {}


class RowReader(Protocol):
    """Reads one committed state of the tables, with SQL whose parameters are `:named`."""

    def rows(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> Sequence[Row]:
        """Every row of the result."""

    def row(self, sql: str, values: Mapping[str, Any] = NO_VALUES, /) -> Row | None:
        """The first row of the result, or None."""


def lowest_position(reader: RowReader, needs: Collection[str]) -> int:
    """The position that all the models named (without names: all models) have reached."""
    rows = reader.rows("SELECT name, position FROM models")
    return min(int(row["position"]) for row in rows if not needs or row["name"] in needs)

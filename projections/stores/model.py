"""What a read model is: a module with a name, a version, tables, and a pure function from events to
statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ledger.store.records import RecordedEvent

Statement = tuple[str, Mapping[str, Any]]
"""SQL with `:named` parameters. `{g}` stands for the generation of the tables (`Model.TABLES`)."""


class Model(Protocol):
    """A read model. Its rows depend on the events alone, never on a clock or on chance. A statement
    may read its own model and generation (INSERT … SELECT), nothing else.
    """

    @property
    def NAME(self) -> str:  # noqa: N802  a module constant
        """The model's name, and that of its first table."""

    @property
    def VERSION(self) -> int:  # noqa: N802
        """Raised when rows come out differently: a new generation is then built beside the old."""

    @property
    def TABLES(self) -> Sequence[str]:  # noqa: N802
        """The tables, by the names queries use. Each is stored as `<name>{g}`, so that two
        generations can coexist.
        """

    @property
    def SCHEMA(self) -> str:  # noqa: N802
        """Statements that create the tables and indexes of one generation."""

    def project(self, event: RecordedEvent, /) -> Iterable[Statement]:
        """What one event changes."""

"""What a read model is: a module with a name, a version, tables, and a pure function from events to
statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ledger.store.records import RecordedEvent

Statement = tuple[str, Mapping[str, Any]]
"""SQL with `:named` parameters. `{g}` stands for the generation of the model's tables (see
`Model.tables`).
"""


class Model(Protocol):
    """A read model. Rows depend on the events alone: no clock, no chance. A statement may read the
    tables of its own model and generation (INSERT … SELECT), which are what earlier events made of
    them, and nothing else.
    """

    @property
    def NAME(self) -> str:  # noqa: N802  a module constant
        """The model's name, and that of its first table."""
        ...

    @property
    def VERSION(self) -> int:  # noqa: N802
        """Raise it when rows would come out differently: the copy is then rebuilt beside the old
        one.
        """
        ...

    @property
    def TABLES(self) -> Sequence[str]:  # noqa: N802
        """The tables, by the name queries use. Each stands as `<name>{g}`, so that two generations
        can coexist.
        """
        ...

    @property
    def SCHEMA(self) -> str:  # noqa: N802
        """Statements that create the tables and indexes of one generation."""
        ...

    def project(self, fact: RecordedEvent, /) -> Iterable[Statement]:
        """What one event changes."""
        ...

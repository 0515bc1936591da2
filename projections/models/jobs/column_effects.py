"""What an event sets a job's columns to, found out by running the list's own statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.store.records import RecordedEvent
from projections.models.jobs import model as jobs
from projections.stores.tables import named


class ColumnEffects:
    """Tells what an event sets a job's columns to, by the list's own statements: they are run over
    a row that holds nothing real.
    """

    _NOTHING = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, told: Sequence[str]) -> None:
        """`told` are the columns that are asked about."""
        self._told = tuple(told)
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.executescript(jobs.SCHEMA.replace("{g}", ""))
        columns = [row[1] for row in self._connection.execute("PRAGMA table_info(jobs)")]
        marks = ", ".join("?" for _ in columns)
        row = [self._NOTHING for _ in columns]
        self._connection.execute(f"INSERT INTO jobs VALUES ({marks})", row)

    def __enter__(self) -> ColumnEffects:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def given_by(self, fact: RecordedEvent) -> Mapping[str, Any]:
        """The columns that the event gives a value, with the values."""
        self._connection.execute("BEGIN")
        self._connection.execute("UPDATE jobs SET id = ?", (str(fact.stream),))
        for sql, values in jobs.project(fact):
            self._connection.execute(named(sql, ""), values)
        found = self._connection.execute(f"SELECT {', '.join(self._told)} FROM jobs").fetchone()
        self._connection.execute("ROLLBACK")
        pairs = zip(self._told, found, strict=True)
        return {name: value for name, value in pairs if value != self._NOTHING}

"""What an event sets a job's columns to, found by running the model's own statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.store.records import RecordedEvent
from projections.models.jobs import model as jobs
from projections.stores.store import with_suffix


class ColumnEffects:
    """Runs the statements of the list of jobs on one row of placeholders, and reads which columns
    they replaced.
    """

    _PLACEHOLDER = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, columns: Sequence[str]) -> None:
        self._wanted = tuple(columns)
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.executescript(jobs.SCHEMA.replace("{g}", ""))
        table = [row[1] for row in self._connection.execute("PRAGMA table_info(jobs)")]
        marks = ", ".join("?" for _ in table)
        row = [self._PLACEHOLDER for _ in table]
        self._connection.execute(f"INSERT INTO jobs VALUES ({marks})", row)

    def __enter__(self) -> ColumnEffects:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def values_set_by(self, event: RecordedEvent) -> Mapping[str, Any]:
        """The wanted columns that an event sets, with their values."""
        self._connection.execute("BEGIN")
        self._connection.execute("UPDATE jobs SET id = ?", (str(event.stream),))
        for sql, values in jobs.project(event):
            self._connection.execute(with_suffix(sql, ""), values)
        found = self._connection.execute(f"SELECT {', '.join(self._wanted)} FROM jobs").fetchone()
        self._connection.execute("ROLLBACK")
        pairs = zip(self._wanted, found, strict=True)
        return {name: value for name, value in pairs if value != self._PLACEHOLDER}

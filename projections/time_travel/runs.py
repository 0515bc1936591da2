"""A job's runs as they were: the read model of runs, applied to the events of one page only,
however long the history is.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any
from uuid import UUID

from ledger.domain.events import RunStarted
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent, StoredEvent
from projections.filters.paging import read_cursor
from projections.models import runs
from projections.stores.sqlite import SQLiteRowReader

PAGE = 500
"""Events read at a time."""
STEP = 50
"""Events read at a time in search of the start of one run."""


class HistoricalRuns:
    """The runs of a job up to one version of its stream."""

    def __init__(self, events: EventReader, job_id: UUID, version: int) -> None:
        self._events = events
        self._job_id = job_id
        self._version = version

    def page(self, *, cursor: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
        """One page, newest first, and the cursor of the next, as the read model answered then."""
        last = self._version if cursor is None else self._version_before(read_cursor(cursor))
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(runs.SCHEMA.format(g=""))
            for event in self._newest(last, limit + 1):
                for statement, values in runs.project(event):
                    connection.execute(statement.format(g=""), values)
            return runs.find(SQLiteRowReader(connection), self._job_id, cursor=cursor, limit=limit)

    def _newest(self, last: int, run_count: int) -> list[RecordedEvent]:
        """The events up to a version, back to the start of that many runs."""
        found: list[StoredEvent] = []
        starts = 0
        while last > 0 and starts < run_count:
            first = max(0, last - PAGE)
            page = self._read(first, last)
            starts += sum(item.topic == RunStarted.TOPIC for item in page)
            found[:0] = page
            last = first
        return self._events.decode(found)

    def _version_before(self, fence: int) -> int:
        """The last version before the run with a fence began, by binary search: fences grow."""
        low, high = 0, self._version
        while low < high:
            middle = (low + high) // 2
            started = self._start_after(middle)
            if started is None or started.data["fence"] >= fence:
                high = middle
            else:
                low = started.version
        started = self._start_after(low)
        return self._version if started is None else started.version - 1

    def _start_after(self, version: int) -> RecordedEvent | None:
        """The first start of a run after a version."""
        while version < self._version:
            upto = min(self._version, version + STEP)
            started = [item for item in self._read(version, upto) if item.topic == RunStarted.TOPIC]
            if started:
                return self._events.decode(started[:1])[0]
            version = upto
        return None

    def _read(self, after: int, upto: int) -> list[StoredEvent]:
        return self._events.stream_stored(self._job_id, after=after, upto=upto, limit=PAGE)

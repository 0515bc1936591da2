"""The read models as they were at a position, in memory: the queries on the present ones run on
them and give the answers of then.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal
from weakref import finalize

from ledger.errors import Behind
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.filters.paging import RECENT
from projections.models import runs
from projections.models.gaps import model as gaps
from projections.models.jobs import model as jobs
from projections.models.jobs.checkpoints import AT_CHECKPOINT, JobCheckpoints
from projections.models.resumes import model as resumes
from projections.models.storms import model as storms
from projections.stores.rows import Row, RowReader
from projections.stores.sqlite import SQLiteRowReader
from projections.stores.store import ReadModelStore, with_suffix
from projections.time_travel.models import GAPS_AT, LAST_FAILED, RESUMES_AT, STORMS_AT

MAX_MODELS = 4
"""Positions that stay in memory, for the next page or the other end of a comparison."""
LONGEST_TAIL = 50_000
"""The most events read for one position. Only read models that are behind would need more: then the
answer is Behind.
"""
PAGE = 2000
"""Events read at a time."""

Part = Literal["jobs", "runs", "storms", "resumes", "gaps"]
"""A part of the past that a query needs, named after the model it is made from."""
Reached = Callable[[Part], int]
"""The position of a present model; negative while it is not built."""

_NOT_DELETED = f"{AT_CHECKPOINT} AND past.status <> 'deleted'"
_DELETED_AMONG = f"{AT_CHECKPOINT} AND past.status = 'deleted' AND jobs.id IN ({{}})"
_FAILED = (
    "FROM runs WHERE status = 'failed' AND ended_position <= :position "
    f"ORDER BY ended_position DESC LIMIT {RECENT}"
)
_TAGS = """
INSERT INTO job_tags (tag, number, job_id)
SELECT tag.value, jobs.number, jobs.id FROM jobs, json_each(jobs.tags) AS tag
"""


class HistoricalModels:
    """The models of one ledger at the positions queried last, from any thread."""

    def __init__(
        self, events: EventReader, store: ReadModelStore, jobs: JobCheckpoints, reached: Reached
    ) -> None:
        self._events = events
        self._store = store
        self._jobs = jobs
        self._reached = reached
        self._models: OrderedDict[int, HistoricalModel] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def at(self, position: int, *parts: Part) -> Iterator[RowReader]:
        """Reads the models as they were at a position. Raises Behind while the present ones are too
        far behind it.
        """
        model = self._model(position)
        with model.lock:
            for part in ("jobs", *parts):  # first: it finds the checkpoint that the others need
                if part not in model.parts:
                    with model.filling():
                        self._add(model, part)
                    model.parts.add(part)
            yield model.reader

    def _model(self, position: int) -> HistoricalModel:
        with self._lock:
            model = self._models.setdefault(position, HistoricalModel(position))
            self._models.move_to_end(position)
            while len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
            return model

    def _add(self, model: HistoricalModel, part: Part) -> None:
        match part:
            case "jobs":
                self._add_jobs(model)
            case "runs":
                # The newest failed runs: how a run ended never changes.
                failed = {"runs": f"SELECT * {_FAILED}"}
                self._add_rows(model, "runs", failed, f"SELECT job_id {_FAILED}")
            case "storms":
                self._add_rows(model, "storms", STORMS_AT, "SELECT job_id FROM storm_members")
                model.run(LAST_FAILED)
            case "resumes":
                self._require_reached(model, "runs")
                self._add_rows(model, "resumes", RESUMES_AT, _JOBS_OF.format("resumes"))
            case "gaps":
                self._add_rows(model, "gaps", GAPS_AT, _JOBS_OF.format("gaps"))

    def _add_jobs(self, model: HistoricalModel) -> None:
        reached = self._reached("jobs")
        model.checkpoint = self._jobs.checkpoint_before(min(model.position, max(reached, 0)))
        if reached < 0 or model.position - model.checkpoint > LONGEST_TAIL:
            raise Behind(wanted=model.position, reached=max(reached, 0))
        with self._store.reading() as reader:
            rows = reader.rows(_NOT_DELETED, {"checkpoint": model.checkpoint})
        model.fill("jobs", rows)
        model.run(_TAGS)
        for page in self._tail(model):
            model.apply(page)

    def _tail(self, model: HistoricalModel) -> Iterator[Sequence[RecordedEvent]]:
        """The events after the checkpoint, up to the position."""
        after = model.checkpoint
        while after < model.position:
            page = self._events.read(after=after, limit=min(PAGE, model.position - after))
            yield page
            after = page[-1].position

    def _add_rows(
        self, model: HistoricalModel, part: Part, tables: Mapping[str, str], job_ids: str
    ) -> None:
        """The rows of a model, and their jobs if they were deleted by then."""
        values = {"position": self._require_reached(model, part)}
        with self._store.reading() as reader:
            for table, sql in tables.items():
                model.fill(table, reader.rows(sql, values))
            self._add_deleted(model, reader, job_ids)

    def _require_reached(self, model: HistoricalModel, part: Part) -> int:
        """The historical position, which the present model must have reached."""
        reached = self._reached(part)
        if reached < model.position:
            raise Behind(wanted=model.position, reached=max(reached, 0))
        return model.position

    def _add_deleted(self, model: HistoricalModel, reader: RowReader, job_ids: str) -> None:
        """Those of some jobs that were deleted by the checkpoint: other rows show their names."""
        values = {"checkpoint": model.checkpoint, "position": model.position}
        model.fill("jobs", reader.rows(_DELETED_AMONG.format(job_ids), values))


_JOBS_OF = "SELECT job_id FROM {} WHERE position <= :position"


class HistoricalModel:
    """The tables of the models at one position. Hold `lock` while you use it."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.checkpoint = 0
        self.parts: set[Part] = set()
        self.lock = threading.Lock()
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False
        )
        finalize(self, self._connection.close)
        for model in (jobs, runs, storms, resumes, gaps):
            self._connection.executescript(model.SCHEMA.replace("{g}", ""))
        self.reader: RowReader = SQLiteRowReader(self._connection)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Adds what is added inside as a whole, or not at all."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def fill(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows to a table, except for those it has."""
        if not rows:
            return
        names = list(rows[0])
        marks = ", ".join(f":{name}" for name in names)
        self._connection.executemany(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING",
            rows,
        )

    def apply(self, events: Sequence[RecordedEvent]) -> None:
        """Apply events to the list of jobs."""
        for event in events:
            for sql, values in jobs.project(event):
                self._connection.execute(with_suffix(sql, ""), values)

    def run(self, sql: str) -> None:
        """Run one statement without values."""
        self._connection.execute(sql)

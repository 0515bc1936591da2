"""The read models as they stood at a position, in memory: asked with the same questions as those of
now, so that the answers are those of then.
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
from projections.models import runs
from projections.models.gaps import model as gaps
from projections.models.jobs import model as jobs
from projections.models.jobs.checkpoints import AT_FRAME, JobCheckpoints
from projections.models.jobs.queries import RECENT
from projections.models.resumes import model as resumes
from projections.models.storms import model as storms
from projections.stores.contract import ReadModelStore, Row, RowReader
from projections.stores.sqlite import SQLiteRowReader
from projections.stores.tables import named
from projections.time_travel import resumes as past_resumes
from projections.time_travel import storms as past_storms

KEPT = 4
"""Pasts that are kept for whoever asks on: the next page, or the other end of a comparison."""
LONGEST_TAIL = 50_000
"""The most events that are read for one past. There are as many only while the copies are behind:
then the answer is Behind.
"""
AT_ONCE = 2000
"""Events read at a time."""

Part = Literal["jobs", "runs", "storms", "resumes", "gaps"]
"""What of a past a question needs, by the copy it is made from."""
Reached = Callable[[Part], int]
"""How far a copy has come; negative where there is none."""

_IS_THERE = f"{AT_FRAME} AND past.status <> 'deleted'"
_IS_SHOWN_DELETED = f"{AT_FRAME} AND past.status = 'deleted' AND jobs.id IN ({{}})"
_FAILED = (
    "FROM runs WHERE status = 'failed' AND ended_position <= :position "
    f"ORDER BY ended_position DESC LIMIT {RECENT}"
)
GAPS_AT = {"gaps": "SELECT * FROM gaps WHERE position <= :position"}
_TAGS = """
INSERT INTO job_tags (tag, number, job_id)
SELECT tag.value, jobs.number, jobs.id FROM jobs, json_each(jobs.tags) AS tag
"""


class HistoricalModels:
    """The pasts of one ledger that were asked for last, from any thread."""

    def __init__(
        self, events: EventReader, store: ReadModelStore, framed: JobCheckpoints, reached: Reached
    ) -> None:
        self._events = events
        self._store = store
        self._framed = framed
        self._reached = reached
        self._kept: OrderedDict[int, HistoricalModel] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def at(self, position: int, *parts: Part) -> Iterator[RowReader]:
        """Questions to the models as they stood at a position. Refuses Behind while the copies are
        too far from there.
        """
        past = self._remembered(position)
        with past.lock:
            for part in parts:
                if part not in past.parts:
                    with past.filling():
                        self._add(past, part)
                    past.parts.add(part)
            yield past.questions

    def _remembered(self, position: int) -> HistoricalModel:
        with self._lock:
            past = self._kept.setdefault(position, HistoricalModel(position))
            self._kept.move_to_end(position)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return past

    def _add(self, past: HistoricalModel, part: Part) -> None:
        match part:
            case "jobs":
                self._add_jobs(past)
            case "runs":
                self._add_failures(past)
            case "storms":
                self._add_storms(past)
            case "resumes":
                self._require(past, "runs")
                self._add_notices(past, "resumes", past_resumes.AT)
            case "gaps":
                self._add_notices(past, "gaps", GAPS_AT)

    def _add_jobs(self, past: HistoricalModel) -> None:
        reached = self._reached("jobs")
        past.frame = self._framed.checkpoint_before(min(past.position, max(reached, 0)))
        if reached < 0 or past.position - past.frame > LONGEST_TAIL:
            raise Behind(wanted=past.position, reached=max(reached, 0))
        with self._store.reading() as questions:
            rows = questions.rows(_IS_THERE, {"frame": past.frame})
        past.fill("jobs", rows)
        past.run(_TAGS)
        for facts in self._tail(past):
            past.take_in(facts)

    def _tail(self, past: HistoricalModel) -> Iterator[Sequence[RecordedEvent]]:
        """The events from the frame on, up to the position."""
        after = past.frame
        while after < past.position:
            page = self._events.read(after=after, limit=min(AT_ONCE, past.position - after))
            yield page
            after = page[-1].position

    def _add_failures(self, past: HistoricalModel) -> None:
        """The newest failed runs, and their jobs if they were gone then; how a run ended is never
        changed.
        """
        values = {"position": self._require(past, "runs")}
        with self._store.reading() as questions:
            past.fill("runs", questions.rows(f"SELECT * {_FAILED}", values))
            self._add_deleted(past, questions, f"SELECT job_id {_FAILED}")

    def _add_storms(self, past: HistoricalModel) -> None:
        values = {"position": self._require(past, "storms")}
        with self._store.reading() as questions:
            for table, sql in past_storms.AT.items():
                past.fill(table, questions.rows(sql, values))
            self._add_deleted(past, questions, "SELECT job_id FROM storm_members")
        past.run(past_storms.LAST_FAILED)

    def _add_notices(self, past: HistoricalModel, part: Part, tables: Mapping[str, str]) -> None:
        """The rows of a model, and the names of their jobs."""
        values = {"position": self._require(past, part)}
        with self._store.reading() as questions:
            for table, sql in tables.items():
                past.fill(table, questions.rows(sql, values))
            self._add_deleted(
                past, questions, f"SELECT job_id FROM {part} WHERE position <= :position"
            )

    def _require(self, past: HistoricalModel, part: Part) -> int:
        """The past's position, which a copy must have reached."""
        reached = self._reached(part)
        if reached < past.position:
            raise Behind(wanted=past.position, reached=max(reached, 0))
        return past.position

    def _add_deleted(self, past: HistoricalModel, questions: RowReader, ids: str) -> None:
        """Of the jobs that had been deleted by the frame, those that are shown all the same."""
        values = {"frame": past.frame, "position": past.position}
        past.fill("jobs", questions.rows(_IS_SHOWN_DELETED.format(ids), values))


class HistoricalModel:
    """The tables of the models at one position. Whoever uses it holds its lock."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.frame = 0
        self.parts: set[Part] = set()
        self.lock = threading.Lock()
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False
        )
        finalize(self, self._connection.close)
        for model in (jobs, runs, storms, resumes, gaps):
            self._connection.executescript(model.SCHEMA.replace("{g}", ""))
        self.questions: RowReader = SQLiteRowReader(self._connection)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """What is added meanwhile is added whole or not at all."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def fill(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows to a table, but for those that it has."""
        if not rows:
            return
        names = list(rows[0])
        marks = ", ".join(f":{name}" for name in names)
        self._connection.executemany(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING",
            rows,
        )

    def take_in(self, facts: Sequence[RecordedEvent]) -> None:
        """Let events happen to the list of jobs."""
        for fact in facts:
            for sql, values in jobs.project(fact):
                self._connection.execute(named(sql, ""), values)

    def run(self, sql: str) -> None:
        """One statement without values."""
        self._connection.execute(sql)

"""A long history, written straight into a book's tables: the real schema and states as the codec
writes them, in a realistic mix. Its chain values are left out: it can be read and built on, and
would not be verified.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import sql

from ledger import Ledger
from ledger.application.commands import jobs as commands
from ledger.application.commands import runs as run_commands
from ledger.clock import from_microseconds, microseconds, rfc3339
from ledger.domain.job import outcomes
from ledger.domain.job.job import ResumeOptions
from ledger.domain.streams.names import name_stream
from ledger.store.postgres.dsn import SCHEMA
from ledger.store.sql_reads import COLUMNS
from tests.support.builders import DAY, NOON, SUCCESS, ManualClock, a_spec, an_id, open_ledger
from tests.support.runs import run

AT_ONCE = 200_000
"""Events that are written in one transaction."""
STEP = 100_000
"""µs between two events."""
CHAIN = bytes(32)
USERS = tuple(f"user-{number}" for number in range(12))
RARE_ACTOR, RARE_TOPIC_ACTOR = "visitor", USERS[0]
CORRELATION = "request-of-interest"
CLASSES = ("rate_limited", "timeout", "server_error")
RARE_CLASS = "unauthorized"
BUSY_SHARE = 0.02
"""The share of runs that are one job's."""

Row = tuple[Any, ...]
Text = tuple[str, bytes, bytes]


class History:
    """Events of so many jobs, in the order of their positions. The same numbers give the same
    events, but for the ids that the model's states hold.
    """

    def __init__(self, events: int, jobs: int, models: dict[str, dict[str, Any]]) -> None:
        self._events = events
        self._models = models
        self._random = Random(7)
        self.ids = [an_id(number + 1000) for number in range(jobs)]
        self._versions = [0] * jobs
        self._position = 0
        self.texts: list[Text] = []

    def rows(self) -> Iterator[Row]:
        """The rows of the events, and meanwhile their free texts in `texts`."""
        yield from islice(self._all(), self._events)

    def _all(self) -> Iterator[Row]:
        for job in range(len(self.ids)):
            yield from self._schedule(job)
        rare = max(1, self._events // 120)
        while True:
            yield from self._run(self._job())
            if self._random.random() < 0.004:
                yield from self._visit()
            if self._position % rare < 3:
                yield from self._rarities()

    def _job(self) -> int:
        is_busy = self._random.random() < BUSY_SHARE
        return 0 if is_busy else self._random.randrange(len(self.ids))

    def _schedule(self, job: int) -> Iterator[Row]:
        name = f"job {job}"
        who = (self._random.choice(USERS), "user", "cli", None)
        told = {"name": name, "job_id": str(self.ids[job])}
        yield self._row("name.reserved", name_stream(name), 1, who, told)
        yield self._of(job, "job.scheduled", who, {"name": name})

    def _run(self, job: int) -> Iterator[Row]:
        dispatcher = ("dispatcher", "system", "dispatcher", None)
        run_id = str(UUID(int=self._position))
        fence = self._versions[job] + 1
        yield self._of(job, "job.run_started", dispatcher, {"run_id": run_id, "fence": fence})
        chance = self._random.random()
        if chance < 0.03:
            yield self._of(job, "job.run_failed", dispatcher, self._failure(run_id, chance))
            return
        is_workers = chance < 0.05
        who = ("worker-3", "worker", "http", None) if is_workers else dispatcher
        yield self._of(job, "job.run_succeeded", who, {"run_id": run_id})

    def _failure(self, run_id: str, chance: float) -> dict[str, Any]:
        is_rare = chance < 0.00002
        failure_class = RARE_CLASS if is_rare else self._random.choice(CLASSES)
        text = f"{self._position:032x}"
        self.texts.append((text, bytes(16), b"429 Too Many Requests, slow down"))
        error = [text, "0" * 64]
        return {"run_id": run_id, "failure_class": failure_class, "error": error}

    def _visit(self) -> Iterator[Row]:
        """A person looks after a job."""
        source = self._random.choices(("cli", "http"), (7, 2))[0]
        who = (self._random.choice(USERS), "user", source, f"c-{self._position}")
        job = self._job()
        if self._random.random() < 0.5:
            yield self._of(job, "job.amended", who, {})
        else:
            yield self._of(job, "job.paused", who, {})
            yield self._of(job, "job.resumed", who, {})

    def _rarities(self) -> Iterator[Row]:
        """What there is some hundred times in a book, however long it is."""
        job = self._job()
        yield self._of(job, "job.amended", (RARE_ACTOR, "agent", "mcp", CORRELATION), {})
        forced = (RARE_TOPIC_ACTOR, "user", "ui", None)
        yield self._of(job, "job.force_resumed", forced, {})

    def _of(self, job: int, topic: str, who: Row, changes: dict[str, Any]) -> Row:
        self._versions[job] += 1
        return self._row(topic, self.ids[job], self._versions[job], who, changes)

    def _row(
        self, topic: str, stream: UUID, version: int, who: Row, changes: dict[str, Any]
    ) -> Row:
        self._position += 1
        actor, kind, source, correlation_id = who
        recorded_at = microseconds(NOON) + self._position * STEP
        state = self._models[topic] | {
            "timestamp": rfc3339(from_microseconds(recorded_at)),
            "actor": {"id": actor, "kind": kind},
            "source": source,
            "correlation_id": correlation_id,
            **changes,
        }
        place = (self._position, stream.bytes, version, topic, orjson.dumps(state), recorded_at)
        failure_class = state.get("failure_class") if topic == "job.run_failed" else None
        return (*place, actor, kind, source, correlation_id, failure_class, CHAIN)


def models(folder: Path) -> dict[str, dict[str, Any]]:
    """A state of each topic, as the ledger itself stores it."""
    with open_ledger(folder) as ledger:
        job_id = ledger.schedule(a_spec(name="model", policy={"trip_after": 1})).job_id
        ledger.pause(job_id)
        ledger.execute(commands.ResumeJob(job_id, ResumeOptions(), ledger.context()))
        ledger.amend(job_id, {"tags": ["red", "green"]})
        failure = outcomes.Failure("429", "rate_limited", "api.example.com", None, 7)
        for outcome in (SUCCESS, failure):
            _run(ledger, job_id, outcome)
        ledger.execute(commands.ResumeJob(job_id, ResumeOptions(force=True), ledger.context()))
        found = ledger.event_store.read(after=0, limit=1000)
        return {item.topic: orjson.loads(item.state) for item in found}


def _run(ledger: Ledger, job_id: UUID, outcome: run_commands.Outcome) -> None:
    assert isinstance(ledger.clock, ManualClock)
    ledger.clock.advance(DAY + timedelta(minutes=1))
    run(ledger, job_id, outcome)


def write_sqlite(folder: Path, history: History) -> None:
    """Fill a new book in a folder, without waiting for the disk."""
    with open_ledger(folder) as ledger:
        assert ledger.event_store.tail_position() == 0
    with closing(
        sqlite3.connect(folder / "data" / "ledger.db", isolation_level=None)
    ) as event_store:
        for pragma in ("synchronous=OFF", "cache_size=-2000000"):
            event_store.execute(f"PRAGMA {pragma}")
        rows = history.rows()
        insert = f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join('?' * 12)})"
        while page := list(islice(rows, AT_ONCE)):
            event_store.execute("BEGIN")
            event_store.executemany(insert, page)
            event_store.executemany("INSERT INTO texts VALUES (?, ?, ?)", history.texts)
            event_store.execute("COMMIT")
            history.texts.clear()
        event_store.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def write_postgres(dsn: str, history: History) -> None:
    """Fill a new, migrated book."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        path = sql.SQL("SET search_path = {}").format(sql.Identifier(SCHEMA))
        connection.execute(path)
        rows = history.rows()
        while page := list(islice(rows, AT_ONCE)):
            _copy(connection, f"COPY events ({COLUMNS}) FROM STDIN", page)
            _copy(connection, "COPY texts FROM STDIN", history.texts)
            history.texts.clear()
        connection.execute("VACUUM ANALYZE events")


def _copy(connection: psycopg.Connection[Any], statement: str, rows: list[Row]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for row in rows:
            copy.write_row(row)

"""Forks: the first events of a ledger as a ledger of its own, in one file, with the outcomes of its
later runs beside them.

A fork is for experiments: `serve --sandbox` opens it and ends every run as it was recorded. It has
an id and a chain of its own. Redacted, it contains no free text (tasks, outputs, errors,
descriptions, reasons), no arguments of executors, and signatures only as far as they distinguish
failures.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby, islice, takewhile
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from ledger.chance import new_id
from ledger.errors import InvalidField, StorageFull, Unavailable
from ledger.maintenance.backup import make_durable, reserved
from ledger.maintenance.fork_outcomes import RecordedRun, RunEndReader, store_runs
from ledger.maintenance.redaction import Redaction
from ledger.maintenance.verify import StepProgress
from ledger.store.codec import shape_of, text_references
from ledger.store.event_store import ReadableEvents
from ledger.store.hash_chain import EventRow, chain_of, columns_of, genesis, leaf_of
from ledger.store.mapper import TOPICS, upcast
from ledger.store.sql_reads import COLUMNS
from ledger.store.sqlite.schema import prepare

ROWS_AT_ONCE = 2_000
FORKED_FROM = "forked_from"
"""The key in `meta` for the origin of a fork."""
RECORDED = {"kind": "python", "handler": "recorded"}
"""The executor, in a fork, of jobs that were executed by external workers."""

_INSERT = f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_TEXT = "INSERT OR IGNORE INTO texts (id, salt, body) VALUES (?, ?, ?)"
_PUT_META = "INSERT INTO meta (key, value) VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Fork:
    """A finished fork: its id, how many events it has, and of how many later runs it knows the
    end.
    """

    file: Path
    ledger_id: UUID
    position: int
    run_count: int


def fork(
    source: ReadableEvents, out: Path, *, until: int, is_redacted: bool, progress: StepProgress
) -> Fork:
    """Write the events up to a position into a new file, readable by its owner only, with how the
    runs after that position ended, and each job's last one before. The source is only read. The
    events of one command stay together: the fork includes them up to the last, since no job ever
    was in a state between them.

    Refuses InvalidField when there is no such position, StartRefused when `out` exists or cannot be
    created.
    """
    end = source.tail_position()
    if not 0 < until <= end:
        raise InvalidField("until", f"must be one of the positions 1 to {end}")
    until = _last_of_command(source, until)
    with reserved(out) as partial:
        writing = _ForkWriter(source, new_id(), Redaction() if is_redacted else None, progress)
        try:
            run_count = writing.write(partial, until, end)
        except sqlite3.Error as error:
            if "full" in str(error):
                raise StorageFull from error
            raise Unavailable(f"{out} could not be written ({error}).") from error
        make_durable(partial)
        partial.replace(out)
        make_durable(out.parent)
    return Fork(out, writing.ledger_id, until, run_count)


def _last_of_command(source: ReadableEvents, position: int) -> int:
    """The position of the last event of the command that appended the event at another."""
    rows = source.rows(after=position - 1)
    of_command = groupby(rows, key=lambda row: orjson.loads(row.state)["command_id"])
    [*_, last] = next(of_command)[1]
    return last.position


class _ForkWriter:
    """One fork while it is written."""

    def __init__(
        self,
        source: ReadableEvents,
        ledger_id: UUID,
        redaction: Redaction | None,
        progress: StepProgress,
    ) -> None:
        self.ledger_id = ledger_id
        self._source = source
        self._redaction = redaction
        self._progress = progress
        self._chain = genesis(ledger_id)

    def write(self, partial: Path, until: int, end: int) -> int:
        """Write everything, in one transaction; returns how many runs ended after `until`."""
        with closing(sqlite3.connect(partial, isolation_level=None)) as target:
            ends, latest = RunEndReader(), dict[UUID, RecordedRun]()
            prepare(target, partial, self.ledger_id)
            target.execute("BEGIN IMMEDIATE")
            target.execute(_PUT_META, (FORKED_FROM, self._origin(until)))
            rows = takewhile(lambda row: row.position <= until, self._source.rows(after=0))
            while page := list(islice(rows, ROWS_AT_ONCE)):
                self._write_page(target, page)
                latest |= {run.job: run for row in page if (run := ends.take(row)) is not None}
                self._progress("events", page[-1].position, until)
            store_runs(target, map(self._with_error_text, latest.values()))
            count = store_runs(target, self._later_runs(ends, until, end))
            target.execute("COMMIT")
        return count

    def _origin(self, until: int) -> str:
        origin = {
            "ledger_id": str(self._source.ledger_id),
            "position": until,
            "redacted": self._redaction is not None,
        }
        return orjson.dumps(origin).decode()

    def _write_page(self, target: sqlite3.Connection, page: Sequence[EventRow]) -> None:
        states = [self._forked_state(row) for row in page]
        ids = [
            text_id
            for row, state in zip(page, states, strict=True)
            for text_id, _ in text_references(shape_of(TOPICS[row.topic]).texts, state)
        ]
        texts = self._source.salted_texts(ids).items()
        target.executemany(_INSERT_TEXT, [(text_id, *text) for text_id, text in texts])
        rows = [self._chained(row, state) for row, state in zip(page, states, strict=True)]
        target.executemany(_INSERT, rows)

    def _forked_state(self, row: EventRow) -> dict[str, Any]:
        """The state as the fork stores it: of the present version, blanked if it is redacted."""
        state: dict[str, Any] = orjson.loads(row.state)
        event_class = TOPICS[row.topic]
        upcast(event_class, state)
        if event_class.class_version > 1:
            state["class_version"] = event_class.class_version
        if self._redaction is not None:
            self._redaction.blank(event_class, state)
        _without_workers(state)
        _without_workers(state.get("changes") or {})
        return state

    def _chained(self, row: EventRow, state: dict[str, Any]) -> tuple[Any, ...]:
        stored = orjson.dumps(state)
        columns = (row.position, row.stream, row.version, row.topic)
        self._chain = chain_of(self._chain, leaf_of(*columns, row.recorded_at, stored))
        return (*columns, stored, row.recorded_at, *columns_of(state), self._chain)

    def _later_runs(self, ends: RunEndReader, until: int, end: int) -> Iterator[RecordedRun]:
        for row in self._source.rows(after=until):
            if row.position % ROWS_AT_ONCE == 0:
                self._progress("later runs", row.position, end)
            run = ends.take(row)
            if run is not None:
                yield self._with_error_text(run)

    def _with_error_text(self, run: RecordedRun) -> RecordedRun:
        """With the error's text, or its replacement."""
        if self._redaction is not None or run.error_text is None:
            signature = run.signature
            if signature is not None and self._redaction is not None:
                signature = self._redaction.signature(run.failure_class, signature)
            return replace(run, error_text=None, signature=signature)
        texts = self._source.salted_texts([run.error_text])
        body = texts[run.error_text][1].decode() if run.error_text in texts else None
        return replace(run, error_text=body)


def _without_workers(fields: dict[str, Any]) -> None:
    """A job for external workers would wait for them forever in a sandbox: none connects to it."""
    if (fields.get("executor") or {}).get("kind") == "worker":
        fields["executor"] = RECORDED

"""Locations that ledgers move between in tests: a folder with SQLite, or a schema on PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import psycopg

from ledger import Ledger
from ledger.application.tokens import Tokens
from ledger.maintenance.move.endpoints import (
    EVENTS,
    LEASES,
    SNAPSHOTS,
    TEXTS,
    TOKENS,
    MoveSource,
    MoveTarget,
)
from ledger.maintenance.move.postgres import PostgresEndpoint
from ledger.maintenance.move.sqlite import SQLiteEndpoint
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.migrations import migrate
from ledger.store.records import Checkpoint, EventBatch, LeaseRow
from ledger.store.sqlite.folder import Folder
from tests.support.builders import ManualClock, SeededChance, a_spec, an_id

TABLES = (EVENTS, TEXTS, TOKENS, LEASES, SNAPSHOTS)
FACTS = "SELECT key, value FROM meta WHERE key NOT IN ('schema', 'move') ORDER BY key"
JOBS = 12
_seeds = count(1)


class OpenSource(MoveSource, Protocol):
    def close(self) -> None: ...


class OpenTarget(MoveTarget, Protocol):
    def close(self) -> None: ...


class Location(Protocol):
    """The location of a ledger, existing or new."""

    def ledger(self) -> Ledger: ...
    def source(self) -> OpenSource: ...
    def target(self, new_id: UUID) -> OpenTarget: ...
    def execute_directly(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement in the database, past everything that protects it."""


class SQLiteLocation:
    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)

    def ledger(self) -> Ledger:
        return Ledger.open(self.folder.path, clock=ManualClock(), chance=SeededChance(next(_seeds)))

    def source(self) -> SQLiteEndpoint:
        return SQLiteEndpoint.open_source(self.folder)

    def target(self, new_id: UUID) -> SQLiteEndpoint:
        return SQLiteEndpoint.open_target(self.folder, new_id)

    def execute_directly(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(
            sqlite3.connect(self.folder.event_store_file, isolation_level=None)
        ) as connection:
            if not statement.startswith("SELECT"):
                connection.execute("DROP TRIGGER IF EXISTS events_are_never_changed")
                connection.execute("DROP TRIGGER IF EXISTS events_are_never_deleted")
            return connection.execute(statement).fetchall()


class PostgresLocation:
    def __init__(self, address: PostgresDsn) -> None:
        self.address = address

    def ledger(self) -> Ledger:
        migrate(self.address, new_id=an_id(77))
        return Ledger.open(self.address, clock=ManualClock(), chance=SeededChance(next(_seeds)))

    def source(self) -> PostgresEndpoint:
        return PostgresEndpoint.open_source(self.address)

    def target(self, new_id: UUID) -> PostgresEndpoint:
        return PostgresEndpoint.open_target(self.address, new_id)

    def execute_directly(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.address.dsn, autocommit=True) as connection:
            connection.execute(f"SET search_path = {self.address.schema}".encode())
            if not statement.startswith("SELECT"):
                connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def drop(self) -> None:
        """Remove it."""
        with psycopg.connect(self.address.dsn, autocommit=True) as connection:
            for schema in (
                self.address.schema,
                self.address.projections_schema("_projections").schema,
            ):
                connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


def fill(location: Location) -> None:
    """A closed ledger with rows in every table."""
    with location.ledger() as ledger:
        tokens = Tokens(ledger)
        for name in ("olga", "otto"):
            tokens.create(name, "operator", None, None, ledger.context("a new colleague"))
        tokens.revoke("otto", ledger.context("gone"))
        write(ledger, "", JOBS)
        lease = LeaseRow("run-1", an_id(5), 1_772_000_000_000_000)
        beside = EventBatch((), (lease, Checkpoint("notifier", 4)))
        ledger.event_store.append([beside], ledger.mapper, now=0)


def write(ledger: Ledger, prefix: str, jobs: int) -> None:
    """Some jobs with a history, every event with a text."""
    for number in range(jobs):
        job_id = ledger.schedule(a_spec(name=f"{prefix}job {number}", task=f"t {number} ä")).job_id
        ledger.pause(job_id, reason=f"because {number}")
        if number % 3 == 0:
            ledger.resume(job_id, reason="go on")
        if number % 4 == 0:
            ledger.delete(job_id, reason="enough")


def contents(location: Location) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, comparable between databases."""
    found = {"meta": location.execute_directly(FACTS)}
    for table in TABLES:
        columns = ", ".join(table.columns)
        rows = location.execute_directly(
            f"SELECT {columns} FROM {table.name} WHERE {table.condition}"
        )
        found[table.name] = sorted(map(tuple, rows))
    return found

"""The schema on PostgreSQL: created once by any number of concurrent migrations, refused when it is
older or newer; no start on settings that would break a promise.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pytest import raises

from ledger.errors import StartRefused
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.migrations import SCHEMA_VERSION, Migrated, migrate
from ledger.store.postgres.store import PostgresEventStore
from tests.contract.stores import PostgresStoreHarness, own_name
from tests.support.builders import an_id
from tests.support.typed_commands import Shell

PROCESSES = 6
AS_VERSION_3 = """
SET search_path TO jobledger;
ALTER TABLE snapshots RENAME TO heads;
ALTER TABLE append_lock RENAME TO turn;
ALTER TABLE turn RENAME COLUMN unused TO nobody;
ALTER SCHEMA jobledger_projections RENAME TO jobledger_copies;
INSERT INTO heads VALUES ('\\x0de50000000040008000000000000009', 2, '{}');
INSERT INTO meta VALUES ('heads_position', '7'), ('mark:courier', '5'), ('mark:storms', '6');
UPDATE meta SET value = '3' WHERE key = 'schema';
"""
"""Gives the tables and keys the names that they had in version 3."""


@pytest.fixture
def database(postgres_dsn: str) -> Iterator[str]:
    """An empty database; gives the DSN."""
    name = own_name()
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield urlsplit(postgres_dsn)._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_an_empty_database_becomes_a_ledger_which_a_second_migration_does_not_change(
    database: str,
) -> None:
    first = migrate(PostgresDsn(database), new_id=an_id(1))
    second = migrate(PostgresDsn(database), new_id=an_id(2))

    assert first == Migrated(0, SCHEMA_VERSION, ())
    assert second == Migrated(SCHEMA_VERSION, SCHEMA_VERSION, ())
    with closing(PostgresEventStore(PostgresDsn(database))) as event_store:
        assert event_store.ledger_id == an_id(1)


def test_a_ledger_of_the_previous_schema_is_upgraded_with_its_rows(database: str) -> None:
    migrate(PostgresDsn(database), new_id=an_id(1))
    with psycopg.connect(database) as connection:
        connection.execute(AS_VERSION_3)
        connection.execute("INSERT INTO jobledger.leases VALUES ('r-1', %s, 5)", (an_id(1).bytes,))

    done = migrate(PostgresDsn(database), new_id=an_id(2))

    assert done == Migrated(3, SCHEMA_VERSION, ())
    with closing(PostgresEventStore(PostgresDsn(database))) as event_store:
        assert event_store.ledger_id == an_id(1)
        assert [row.run_id for row in event_store.leases().rows] == ["r-1"]
        assert event_store.snapshots_position() == 7
        assert [*event_store.load_snapshots()] == [(an_id(9), 2, b"{}")]
        assert (event_store.checkpoint("notifier"), event_store.checkpoint("storms")) == (5, 6)


def test_a_schema_from_before_version_3_is_refused_in_one_line(database: str) -> None:
    migrate(PostgresDsn(database), new_id=an_id(1))
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE jobledger.meta SET value = '2' WHERE key = 'schema'")

    with raises(StartRefused, match="schema version 2, which cannot be upgraded"):
        migrate(PostgresDsn(database), new_id=an_id(2))


def test_of_many_concurrent_migrations_one_runs_and_none_fails(database: str) -> None:
    gate = Barrier(PROCESSES)

    def begin(number: int) -> int:
        gate.wait()
        return migrate(PostgresDsn(database), new_id=an_id(number)).before

    with ThreadPoolExecutor(PROCESSES) as pool:
        found = sorted(pool.map(begin, range(1, PROCESSES + 1)))

    assert found == [0] + [SCHEMA_VERSION] * (PROCESSES - 1)


def test_a_start_without_a_migration_names_the_command_to_run(database: str) -> None:
    with raises(StartRefused, match=r"has schema 0, .*run jobledger migrate\.$"):
        PostgresEventStore(PostgresDsn(database))


def test_neither_a_start_nor_a_migration_downgrades_a_newer_schema(database: str) -> None:
    migrate(PostgresDsn(database), new_id=an_id(1))
    newer = str(SCHEMA_VERSION + 1)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE jobledger.meta SET value = %s WHERE key = 'schema'", (newer,))

    for begin in (PostgresEventStore, partial(migrate, new_id=an_id(1))):
        with raises(StartRefused, match=f"has schema {newer}, which a newer jobledger created"):
            begin(PostgresDsn(database))


# -- what a start refuses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("default_transaction_read_only", "on"),
    ],
)
def test_a_setting_that_breaks_a_promise_stops_the_start(
    postgres_harness: PostgresStoreHarness, setting: str, value: str
) -> None:
    address = postgres_harness.address
    dsn = psycopg.conninfo.make_conninfo(address.dsn, options=f"-c {setting}={value}")

    with raises(StartRefused, match=r"^PostgreSQL has \w+=\w+, but durable answers need [^\n]+$"):
        PostgresEventStore(PostgresDsn(dsn, address.schema))


def test_time_outs_set_by_the_server_are_overridden(postgres_harness: PostgresStoreHarness) -> None:
    dsn = psycopg.conninfo.make_conninfo(
        postgres_harness.address.dsn,
        options="-c lock_timeout=0 -c default_transaction_isolation=serializable",
    )

    event_store = PostgresEventStore(PostgresDsn(dsn, postgres_harness.address.schema))

    with event_store.server.reading() as connection:
        found = [
            (connection.execute(f"SHOW {name}".encode()).fetchone() or ("",))[0]
            for name in ("lock_timeout", "default_transaction_isolation")
        ]
    event_store.close()
    assert found == ["10s", "read committed"]


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://olga:hunter2@127.0.0.1:1/nowhere",
        "postgresql://olga:hunter2@/nowhere?host=/nonexistent",
        "postgresql://olga:hunter2@127.0.0.1:x/nowhere",
        "postgresql://olga:hunter2@127.0.0.1/nowhere?colour=red",
    ],
)
def test_a_database_that_cannot_be_reached_stops_the_start_in_one_line(dsn: str) -> None:
    with raises(StartRefused, match=r"^The database [^\n]+ cannot be opened: [^\n]+$") as refused:
        PostgresEventStore(PostgresDsn(dsn))

    assert "hunter2" not in refused.value.message


# -- the command --------------------------------------------------------------------------------


def test_the_migrate_command_reports_what_it_did(database: str, tmp_path: Any) -> None:
    shell = Shell(tmp_path, JOBLEDGER_DSN=database)

    first, second = shell.ok("migrate"), shell.ok("migrate", "--json")

    assert f"now has schema {SCHEMA_VERSION} and a new ledger" in first.out.replace("\n", " ")
    assert second.document == {"before": SCHEMA_VERSION, "after": SCHEMA_VERSION, "remarks": []}


@pytest.mark.parametrize("given", [{}, {"JOBLEDGER_DSN": "sqlite:///x.db"}])
def test_the_migrate_command_refuses_anything_but_postgresql(tmp_path: Any, given: Any) -> None:
    typed = Shell(tmp_path, **given).type("migrate")

    assert typed.code == 2
    assert "Only PostgreSQL needs migrations" in typed.err.replace("\n", " ")

"""A database of its own for a ledger, on the tests' PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.migrations import migrate
from tests.support.builders import an_id


@contextmanager
def a_database(server: str, name: str) -> Iterator[str]:
    """The address of a new, migrated database, which is dropped afterwards whatever is
    connected.
    """
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    address = f"{server.rpartition('/')[0]}/{name}"
    try:
        migrate(PostgresDsn(address), new_id=an_id(1))
        yield address
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

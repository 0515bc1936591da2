"""The schema on PostgreSQL: created or upgraded under an advisory lock, so that any number of
processes may try at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from ledger.errors import StartRefused
from ledger.store.postgres.connections import PostgresServer, one_line
from ledger.store.postgres.dsn import PostgresDsn

ROLE = "jobledger_app"
"""The role of the application: it may add events, and never change or delete one."""
SCHEMA_VERSION = 4
SCRIPTS = {0: "schema.sql", 3: "from_3.sql"}
"""The script that upgrades a version to this one; 0 is an empty database."""
READ_MODELS = "_projections"
"""The suffix of the schema that contains the read models."""
_OLD_READ_MODELS = "_copies"
"""The same in version 3."""
_LOCK = 0x4A4C4447
"""`JLDG`: the advisory lock of migrations."""
_GRANTS = {
    "events": "SELECT, INSERT",
    "texts": "SELECT, INSERT",
    "tokens": "SELECT, INSERT, UPDATE",
    "leases": "SELECT, INSERT, UPDATE, DELETE",
    "snapshots": "SELECT, INSERT, UPDATE, DELETE",
    "meta": "SELECT, INSERT, UPDATE",
    "append_lock": "SELECT, UPDATE",
    "nodes": "SELECT, INSERT, UPDATE, DELETE",
}
"""`append_lock` is empty; the right to update it is the right to lock it."""
_HAS_META = "SELECT to_regclass('meta') IS NOT NULL"
_VERSION = "SELECT value FROM meta WHERE key = 'schema'"
_PUT_VERSION = (
    "INSERT INTO meta (key, value) VALUES ('schema', %s) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_PUT_ID = "INSERT INTO meta (key, value) VALUES ('ledger_id', %s) ON CONFLICT (key) DO NOTHING"


@dataclass(frozen=True, slots=True)
class Migrated:
    """The versions before and after a migration, and what it could not do, if anything."""

    before: int
    after: int
    remarks: tuple[str, ...]


def migrate(address: PostgresDsn, *, new_id: UUID) -> Migrated:
    """Upgrade the schema to this version, in one transaction; a new ledger gets `new_id`.

    Changes nothing when there is nothing to do. StartRefused when the schema is of a newer version,
    or of one before version 3.
    """
    with PostgresServer(address).first_connection() as connection:
        try:
            with connection.transaction():
                return _migrate(connection, address.schema, new_id)
        except psycopg.Error as error:
            raise StartRefused(
                f"The database {address.location} cannot be prepared: {one_line(error)}."
            ) from None


def version_of(connection: psycopg.Connection[Any]) -> int:
    """The version of the schema, 0 where there is none yet."""
    if not (connection.execute(_HAS_META).fetchone() or (False,))[0]:
        return 0
    row = connection.execute(_VERSION).fetchone()
    return int(row[0]) if row else 0


def require_version(connection: psycopg.Connection[Any], location: str) -> None:
    """StartRefused, in one line, unless the schema is of exactly this version."""
    try:
        version = version_of(connection)
    except psycopg.Error as error:
        raise StartRefused(f"{location} is not a jobledger database: {one_line(error)}.") from None
    if version < SCHEMA_VERSION:
        raise StartRefused(
            f"{location} has schema {version}, but this version needs "
            f"{SCHEMA_VERSION}: run jobledger migrate."
        )
    if version > SCHEMA_VERSION:
        raise _newer(location, version)


def _migrate(connection: psycopg.Connection[Any], schema: str, new_id: UUID) -> Migrated:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    connection.execute(_named("CREATE SCHEMA IF NOT EXISTS {0}", schema))
    before = version_of(connection)
    if before == SCHEMA_VERSION:
        return Migrated(before, before, ())
    if before > SCHEMA_VERSION:
        raise _newer(schema, before)
    if before not in SCRIPTS:
        raise StartRefused(f"{schema} has schema version {before}, which cannot be upgraded.")
    script = files("ledger.store.postgres").joinpath("migrations", SCRIPTS[before])
    connection.execute(script.read_text().encode())
    _prepare_read_models(connection, schema)
    connection.execute(_PUT_VERSION, (str(SCHEMA_VERSION),))
    connection.execute(_PUT_ID, (str(new_id),))
    return Migrated(before, SCHEMA_VERSION, tuple(_grant(connection, schema)))


def _prepare_read_models(connection: psycopg.Connection[Any], schema: str) -> None:
    found = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
    old, new = schema + _OLD_READ_MODELS, schema + READ_MODELS
    if connection.execute(found, (old,)).fetchone():
        rename = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
        connection.execute(rename.format(sql.Identifier(old), sql.Identifier(new)))
    connection.execute(_named("CREATE SCHEMA IF NOT EXISTS {0}", new))


def _newer(location: str, version: int) -> StartRefused:
    return StartRefused(
        f"{location} has schema {version}, which a newer jobledger created; this "
        f"version knows {SCHEMA_VERSION}: upgrade jobledger."
    )


def _grant(connection: psycopg.Connection[Any], schema: str) -> Sequence[str]:
    """Grant the application's role what it needs and no more; return a remark where that is
    forbidden.
    """
    if not _has_role(connection):
        return [
            f"the role {ROLE} could not be created: have an administrator create "
            "it (NOLOGIN) and grant it what _GRANTS in "
            "ledger/store/postgres/migrations.py lists"
        ]
    connection.execute(_named(f"GRANT USAGE ON SCHEMA {{0}} TO {ROLE}", schema))
    connection.execute(
        _named(f"GRANT USAGE, CREATE ON SCHEMA {{0}} TO {ROLE}", schema + READ_MODELS)
    )
    connection.execute(_named(f"GRANT USAGE ON SEQUENCE {{0}}.lease_changes TO {ROLE}", schema))
    for table, rights in _GRANTS.items():
        connection.execute(_named(f"GRANT {rights} ON {{0}}.{table} TO {ROLE}", schema))
    return []


def _has_role(connection: psycopg.Connection[Any]) -> bool:
    """Whether the role exists, created now if needed. Roles belong to the whole server: another
    database's migration may be creating it too.
    """
    found = "SELECT 1 FROM pg_roles WHERE rolname = %s"
    if connection.execute(found, (ROLE,)).fetchone():
        return True
    try:
        with connection.transaction():
            connection.execute(_named("CREATE ROLE {0} NOLOGIN", ROLE))
    except psycopg.errors.InsufficientPrivilege:
        return False
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass
    return True


def _named(statement: str, name: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(name))

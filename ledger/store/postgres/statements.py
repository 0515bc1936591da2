"""The writer's statements on PostgreSQL."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from ledger.store.records import Checkpoint, LeaseRow, SideTableRow, TokenRow
from ledger.store.sql_reads import CHECKPOINT, COLUMNS, SNAPSHOTS_POSITION

DATABASE_CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The instant of an append, in µs: one clock for all nodes, whatever theirs show."""
CALLERS_CLOCK = "%(now)s::bigint"
"""The caller's instant, for ledgers on a clock of their own: simulations and tests."""

LOCK_APPENDS = "LOCK TABLE append_lock IN EXCLUSIVE MODE"
AFTER_TURNS = "LOCK TABLE append_lock IN ROW SHARE MODE"
"""Waits for every append under way."""
READ_TAIL = (
    "SELECT last.position, last.chain, last.recorded_at, {clock},"
    " (extract(epoch FROM clock_timestamp() - now()) * 1000000)::bigint, "
    "ARRAY(SELECT (SELECT version FROM events WHERE stream = named.stream"
    " ORDER BY version DESC LIMIT 1)"
    " FROM unnest(%(streams)s::bytea[]) WITH ORDINALITY AS named (stream, number)"
    " ORDER BY number) "
    "FROM (VALUES (1)) AS one LEFT JOIN LATERAL"
    " (SELECT position, chain, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS last"
    " ON true"
)
COPY_EVENTS = f"COPY events ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
EVENT_TYPES = ("int8", "bytea", "int8", "text", "bytea", "int8", *("text",) * 5, "bytea")
COPY_TEXTS = "COPY texts (id, salt, body) FROM STDIN (FORMAT BINARY)"
TEXT_TYPES = ("text", "bytea", "bytea")
PUT_ACCESS = (
    "INSERT INTO tokens (id, name, role, kind, digest, expires_at, revoked_at) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at"
)
PUT_LEASE = (
    "INSERT INTO leases (run_id, job, expires_at) VALUES (%s, %s, %s) "
    "ON CONFLICT (run_id) DO UPDATE SET expires_at = excluded.expires_at, change = excluded.change"
)
DROP_LEASE = "DELETE FROM leases WHERE run_id = %s"
PUT_META = (
    "INSERT INTO meta (key, value) VALUES (%s, %s) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value "
    "WHERE meta.value::bigint < excluded.value::bigint"
)
PUT_SHARED_SETTING = "INSERT INTO meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING"
AGREED = "agreed:"
"""The prefix of the keys in `meta` for settings that all nodes share."""
PUT_SNAPSHOT = (
    "INSERT INTO snapshots (job, version, state) VALUES (%s, %s, %s) "
    "ON CONFLICT (job) DO UPDATE SET version = excluded.version, state = excluded.state "
    "WHERE snapshots.version <= excluded.version"
)
PUT_SNAPSHOTS_POSITION = (
    f"INSERT INTO meta (key, value) VALUES ('{SNAPSHOTS_POSITION}', %s) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value "
    "WHERE meta.value::bigint < excluded.value::bigint"
)
REHEARSE = (
    "INSERT INTO events (position, stream, version, topic, state, recorded_at, chain) "
    "SELECT 9223372036854775807, ''::bytea, 0, 'rehearsal', string_agg(sha256(n::text::bytea), ''),"
    " 0, ''::bytea FROM generate_series(1, 1024) AS n"
)
"""32 KiB that do not compress: too much for what is left in a page or two."""
COMMIT_WAITS = "SET LOCAL statement_timeout = 0"
"""A time-out while a commit waits for a synchronous standby would answer yes too early."""
NOTIFY = "SELECT pg_notify('jobledger.' || current_schema(), '')"
MAY_CHANGE = (
    "SELECT bool_or(has_table_privilege('events', r)) "
    "FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS r"
)


def side_table_statement(row: SideTableRow) -> tuple[str, tuple[Any, ...]]:
    """The statement that writes a side-table row, and its values."""
    match row:
        case TokenRow():
            return PUT_ACCESS, astuple(row)
        case LeaseRow(run_id, _, None):
            return DROP_LEASE, (run_id,)
        case LeaseRow(run_id, job, expires_at):
            return PUT_LEASE, (run_id, job.bytes, expires_at)
        case Checkpoint(reader, position):
            return PUT_META, (f"{CHECKPOINT}{reader}", str(position))

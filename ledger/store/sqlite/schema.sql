-- The event store on SQLite. Events are only added: triggers refuse every other change.
CREATE TABLE IF NOT EXISTS meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY,
    stream BLOB NOT NULL,
    version INTEGER NOT NULL,
    topic TEXT NOT NULL,
    state BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    actor TEXT,
    kind TEXT,
    source TEXT,
    correlation_id TEXT,
    failure_class TEXT,
    chain BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS events_by_stream ON events (stream, version);
CREATE INDEX IF NOT EXISTS events_by_actor ON events (actor) WHERE source <> 'dispatcher';
CREATE INDEX IF NOT EXISTS events_by_correlation ON events (correlation_id) WHERE source <> 'dispatcher';
CREATE INDEX IF NOT EXISTS events_by_topic ON events (topic)
    WHERE topic NOT IN ('job.run_started', 'job.run_succeeded');
CREATE INDEX IF NOT EXISTS events_by_failure_class ON events (failure_class) WHERE failure_class IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_actor_and_topic ON events (actor, topic) WHERE source <> 'dispatcher';
CREATE INDEX IF NOT EXISTS events_by_kind ON events (kind) WHERE kind <> 'system';
CREATE INDEX IF NOT EXISTS events_by_source ON events (source) WHERE source <> 'dispatcher';

CREATE TRIGGER IF NOT EXISTS events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER IF NOT EXISTS events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
-- INSERT OR REPLACE deletes the row in its way without asking the trigger above.
CREATE TRIGGER IF NOT EXISTS events_are_never_replaced BEFORE INSERT ON events
    WHEN NEW.position <= (SELECT MAX(position) FROM events)
    OR EXISTS (SELECT 1 FROM events WHERE stream = NEW.stream AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'events are only added at the end'); END;

CREATE TABLE IF NOT EXISTS texts (
    id TEXT PRIMARY KEY,
    salt BLOB NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    expires_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID;

-- Leases of runs that are executed elsewhere. Heartbeats renew them without events.
CREATE TABLE IF NOT EXISTS leases (
    run_id TEXT PRIMARY KEY,
    job BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS snapshots (
    job BLOB PRIMARY KEY,
    version INTEGER NOT NULL,
    state BLOB NOT NULL
) WITHOUT ROWID;

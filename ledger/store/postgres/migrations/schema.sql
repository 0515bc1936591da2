-- The event store on PostgreSQL. Events are only added: triggers refuse every other change.
CREATE TABLE meta (
    key text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE events (
    position bigint PRIMARY KEY CHECK (position > 0),
    stream bytea NOT NULL,
    version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    recorded_at bigint NOT NULL,
    actor text,
    kind text,
    source text,
    correlation_id text,
    failure_class text,
    chain bytea NOT NULL
);
CREATE UNIQUE INDEX events_by_stream ON events (stream, version);
CREATE INDEX events_by_actor ON events (actor, position) WHERE source <> 'dispatcher';
CREATE INDEX events_by_correlation ON events (correlation_id, position) WHERE source <> 'dispatcher';
CREATE INDEX events_by_topic ON events (topic, position)
    WHERE topic NOT IN ('job.run_started', 'job.run_succeeded');
CREATE INDEX events_by_failure_class ON events (failure_class, position) WHERE failure_class IS NOT NULL;
-- Rare kinds, sources, and topics of one actor: the dispatcher's events, which are most, have no entry.
CREATE INDEX events_by_actor_and_topic ON events (actor, topic, position) WHERE source <> 'dispatcher';
CREATE INDEX events_by_kind ON events (kind, position) WHERE kind <> 'system';
CREATE INDEX events_by_source ON events (source, position) WHERE source <> 'dispatcher';

CREATE FUNCTION refuse_to_change_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed or deleted';
END
$$;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_events();
-- ALWAYS: also in a session that applies replicated changes.
ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_never_changed;

-- An append locks this empty table instead of events: a lock on events would wait for, and cancel, their vacuum.
CREATE TABLE append_lock (unused boolean);

CREATE TABLE texts (
    id text PRIMARY KEY,
    salt bytea NOT NULL,
    body bytea NOT NULL
);

CREATE TABLE tokens (
    id text PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    expires_at bigint,
    revoked_at bigint
);

-- Leases of runs that are executed elsewhere. Heartbeats renew them without events. `change` is drawn while an
-- append holds the lock, so that these numbers become visible in their order.
CREATE SEQUENCE lease_changes;
CREATE TABLE leases (
    run_id text PRIMARY KEY,
    job bytea NOT NULL,
    expires_at bigint NOT NULL,
    change bigint NOT NULL DEFAULT nextval('lease_changes')
);
CREATE INDEX leases_by_change ON leases (change);

-- The nodes that are alive.
CREATE TABLE nodes (
    node text PRIMARY KEY,
    expires_at bigint NOT NULL
);

-- A snapshot without a state is of a job that is gone: kept, so that a slower node does not restore it.
CREATE TABLE snapshots (
    job bytea PRIMARY KEY,
    version bigint NOT NULL,
    state bytea
);

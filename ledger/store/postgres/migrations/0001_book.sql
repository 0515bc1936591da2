-- The book on PostgreSQL. Events are only ever added: the triggers refuse everything else, whoever asks.
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

CREATE FUNCTION refuse_to_change_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed or deleted';
END
$$;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_events();
-- ALWAYS: not even a session that plays replica passes by.
ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_never_changed;

-- Whoever appends locks this empty table, not events: a lock on events would wait for, and cancel, their vacuum.
CREATE TABLE turn (nobody boolean);

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

-- Runs whose work is done elsewhere live by these; heartbeats move them, without events.
CREATE TABLE leases (
    run_id text PRIMARY KEY,
    job bytea NOT NULL,
    expires_at bigint NOT NULL
);

-- A head without a state is of a job that is gone: kept, so that no slower node brings it back.
CREATE TABLE heads (
    job bytea PRIMARY KEY,
    version bigint NOT NULL,
    state bytea
);

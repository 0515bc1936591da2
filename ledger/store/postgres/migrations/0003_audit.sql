-- Rare kinds, sources, and topics of one actor: of most events, the dispatcher's, none of these has an entry.
CREATE INDEX events_by_actor_and_topic ON events (actor, topic, position) WHERE source <> 'dispatcher';
CREATE INDEX events_by_kind ON events (kind, position) WHERE kind <> 'system';
CREATE INDEX events_by_source ON events (source, position) WHERE source <> 'dispatcher';

-- Several nodes: who is alive, and which leases have changed since a node last looked.
CREATE TABLE nodes (
    node text PRIMARY KEY,
    expires_at bigint NOT NULL
);

-- Drawn while an append has its turn, so that these numbers become visible in their order.
CREATE SEQUENCE lease_changes;
ALTER TABLE leases ADD COLUMN change bigint NOT NULL DEFAULT nextval('lease_changes');
CREATE INDEX leases_by_change ON leases (change);

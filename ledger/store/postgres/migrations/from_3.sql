-- From version 3, which had other names for the same tables and keys.
ALTER TABLE heads RENAME TO snapshots;
ALTER TABLE turn RENAME TO append_lock;
ALTER TABLE append_lock RENAME COLUMN nobody TO unused;
UPDATE meta SET key = 'snapshots_position' WHERE key = 'heads_position';
UPDATE meta SET key = 'checkpoint:notifier' WHERE key = 'mark:courier';
UPDATE meta SET key = 'checkpoint:' || substr(key, 6) WHERE key LIKE 'mark:%';

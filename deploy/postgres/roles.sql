-- Run once, when the database is new: the role of the nodes, which may add events and never change
-- or delete one. `jobledger migrate`, which owns the schema, gives jobledger_app its rights.
\set password `cat /run/secrets/node_password`
CREATE ROLE jobledger_app NOLOGIN;
CREATE ROLE jobledger_node LOGIN PASSWORD :'password' IN ROLE jobledger_app;

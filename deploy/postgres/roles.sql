-- Runs once, when the database is created: the role of the nodes, which may append events but not
-- change or delete them. `jobledger migrate`, run by the schema's owner, grants jobledger_app its rights.
\set password `cat /run/secrets/node_password`
CREATE ROLE jobledger_app NOLOGIN;
CREATE ROLE jobledger_node LOGIN PASSWORD :'password' IN ROLE jobledger_app;

"""The tables of the read models: one contract, on SQLite and on PostgreSQL."""

"""Moves a ledger between SQLite and PostgreSQL, with its hashes."""

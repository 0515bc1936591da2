"""Queries over HTTP, against the library and oracles."""

"""tests/flow/recovery."""

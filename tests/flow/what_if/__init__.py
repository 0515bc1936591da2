"""tests/flow/what_if."""

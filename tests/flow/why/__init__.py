"""tests/flow/why."""

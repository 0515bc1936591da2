"""tests/flow/cli."""

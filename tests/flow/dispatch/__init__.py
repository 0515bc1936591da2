"""tests/flow/dispatch."""

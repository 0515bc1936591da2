"""tests/unit/dispatch."""

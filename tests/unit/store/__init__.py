"""tests/unit/store."""

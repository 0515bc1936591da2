"""tests/unit/domain."""

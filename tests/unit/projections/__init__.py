"""tests/unit/projections."""

"""tests/flow/projections."""

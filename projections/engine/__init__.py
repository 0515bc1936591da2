"""projections/engine."""

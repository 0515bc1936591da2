"""projections/filters."""

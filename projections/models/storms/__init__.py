"""projections/models/storms."""

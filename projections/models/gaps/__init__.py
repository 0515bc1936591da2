"""projections/models/gaps."""

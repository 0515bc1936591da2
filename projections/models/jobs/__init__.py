"""projections/models/jobs."""

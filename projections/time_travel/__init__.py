"""projections/time_travel."""

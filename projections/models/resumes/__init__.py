"""projections/models/resumes."""

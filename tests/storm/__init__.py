"""A realistic set of jobs with planted outages: the real dispatcher on simulated time."""

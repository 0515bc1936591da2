"""A realistic fleet with planted trouble: the real dispatcher on simulated time."""

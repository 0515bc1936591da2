"""api/config."""

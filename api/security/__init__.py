"""api/security."""

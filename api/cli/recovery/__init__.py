"""api/cli/recovery."""

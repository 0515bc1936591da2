"""api/cli/admin."""

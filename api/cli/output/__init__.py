"""api/cli/output."""

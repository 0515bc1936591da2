"""api/cli/connection."""

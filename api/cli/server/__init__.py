"""api/cli/server."""

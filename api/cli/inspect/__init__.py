"""api/cli/inspect."""

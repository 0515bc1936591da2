"""api/cli/jobs."""

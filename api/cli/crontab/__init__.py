"""api/cli/crontab."""

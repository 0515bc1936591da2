"""Commands that run as processes: serve, dispatch, worker, and the sandbox of serve."""

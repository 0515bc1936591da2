"""The metrics for Prometheus, and whether the server is ready."""

"""tests/flow/executors."""

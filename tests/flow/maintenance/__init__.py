"""tests/flow/maintenance."""

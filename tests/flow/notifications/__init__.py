"""tests/flow/notifications."""

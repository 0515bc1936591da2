"""tests/unit/maintenance."""

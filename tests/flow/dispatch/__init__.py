"""Flows of the dispatcher, leases and several nodes."""

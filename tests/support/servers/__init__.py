"""Servers and databases that tests start."""

"""Queries about recoveries, answered from their events."""

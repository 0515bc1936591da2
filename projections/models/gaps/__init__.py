"""Missed slots: those that events recorded, and those still open."""

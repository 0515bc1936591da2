"""Decisions, events and the aggregates that fold them; no I/O, no clock, no chance."""

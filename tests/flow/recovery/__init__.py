"""Flows of recoveries."""

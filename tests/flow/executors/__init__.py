"""Flows of the executors and of external workers."""

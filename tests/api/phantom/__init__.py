"""Phantom's own routes."""

"""Storms: several jobs that fail with one error signature at about the same time."""

"""Crontabs, read and written: their lines, their environment, their percent signs."""

"""Givens, drivers and runners that several test folders share."""

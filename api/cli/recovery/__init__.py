"""Recoveries: resume many failed jobs by a plan that is shown first."""

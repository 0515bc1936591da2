"""Executes runs: one executor for each kind of job, which answers an outcome and never raises."""

"""Executes runs: one executor for each kind of job, which returns an outcome and never raises."""

"""OpenTelemetry spans of commands, appends, claims, runs and deliveries.

Imported only when a collector is configured; no other package imports OpenTelemetry.
"""

"""Spans for OpenTelemetry: commands, appends, claims, runs and deliveries.

Imported only when a collector is named; nothing else here or in the ledger knows OpenTelemetry.
"""

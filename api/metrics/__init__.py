"""What an operator alarms on, as Prometheus reads it."""

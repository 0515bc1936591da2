"""Claims what is due, executes it and records the outcome."""

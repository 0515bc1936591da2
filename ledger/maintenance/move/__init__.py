"""ledger/maintenance/move."""

"""ledger/maintenance."""

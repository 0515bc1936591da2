"""ledger/application/commands."""

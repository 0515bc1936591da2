"""ledger/application."""

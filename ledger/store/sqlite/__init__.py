"""ledger/store/sqlite."""

"""ledger/store/postgres."""

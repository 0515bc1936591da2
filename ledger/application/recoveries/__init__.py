"""ledger/application/recoveries."""

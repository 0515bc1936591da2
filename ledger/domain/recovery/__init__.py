"""ledger/domain/recovery."""

"""ledger/domain/schedule."""

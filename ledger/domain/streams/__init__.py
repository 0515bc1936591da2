"""ledger/domain/streams."""

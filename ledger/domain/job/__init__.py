"""ledger/domain/job."""

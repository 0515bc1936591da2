"""ledger/dispatch/leases."""

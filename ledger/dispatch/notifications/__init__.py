"""ledger/dispatch/notifications."""

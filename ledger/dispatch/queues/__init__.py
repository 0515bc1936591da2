"""ledger/dispatch/queues."""

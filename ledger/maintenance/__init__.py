"""Work on a whole ledger: back up, verify, fork, redact, check for inconsistencies."""

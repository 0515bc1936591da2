"""Work on a whole ledger: back up, verify, fork, move, redact, check for inconsistencies."""

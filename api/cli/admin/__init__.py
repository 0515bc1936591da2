"""Commands on the ledger as a whole: verify, rebuild, back up, move, fork, tokens."""

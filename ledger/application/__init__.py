"""Commands and queries of an open ledger: decisions, group commit, job cache."""

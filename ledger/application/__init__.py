"""Commands and questions of an open ledger: decide, group commit, job cache."""

"""Phantom's scheduler routes, translated to and from the ledger's own shapes."""

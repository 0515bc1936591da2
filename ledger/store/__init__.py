"""Persistence of events: store contract, encoding, hash chain, reading. No command, no cache."""

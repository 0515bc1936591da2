"""The small aggregates: names, tokens, refused access, notices, idempotency keys."""

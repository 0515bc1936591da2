"""The shapes of request bodies and queries, which pydantic checks."""

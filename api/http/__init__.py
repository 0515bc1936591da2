"""What routes share: request context, bodies, errors, idempotency, OpenAPI and middleware."""

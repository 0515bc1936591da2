"""The login and status pages."""

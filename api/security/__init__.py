"""Authentication, roles, sessions, signing keys and the audit of refused access."""

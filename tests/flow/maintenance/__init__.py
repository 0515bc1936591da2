"""Flows of backup, fork, verification and the sandbox."""

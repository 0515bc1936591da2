"""Pulls events into the read models: a runner, in a thread, in a process, or on an elected node."""

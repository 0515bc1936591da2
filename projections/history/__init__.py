"""Answers from events alone: a job's history and past states, blame, the audit, playback."""

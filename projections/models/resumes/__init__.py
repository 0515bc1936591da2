"""Forced resumes, and what came of each."""

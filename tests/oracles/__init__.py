"""Answers worked out once more from raw events, slowly and obviously."""

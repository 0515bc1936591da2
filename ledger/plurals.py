"""Numbers with their noun, as every text for people has them: `1 job`, `38 jobs`."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """The number and the noun, which gets an s unless there is one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

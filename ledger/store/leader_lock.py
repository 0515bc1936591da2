"""Offices: work that one node at a time does for all, such as keeping the copies or
telling people.
"""

from __future__ import annotations

from typing import Protocol


class LeaderLock(Protocol):
    """One node's candidature for an office."""

    def is_held(self) -> bool:
        """Whether this node holds the office now; it is taken if nobody does. Asked before each
        step of the work; once it was lost, a False comes before it is held again.
        """
        ...

    def close(self) -> None:
        """Give it up."""
        ...


class AlwaysLeader:
    """Every office of a ledger that one process owns."""

    def is_held(self) -> bool:
        return True

    def close(self) -> None:
        """Nobody else could take it."""

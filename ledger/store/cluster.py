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


class NodeRegistry(Protocol):
    """Which nodes are alive. Every method raises Unavailable when the database cannot be asked."""

    def join(self, node: str, lease_seconds: float) -> None:
        """Be a node from now on, for so long. Names are used once."""
        ...

    def renew(self, node: str, lease_seconds: float) -> bool:
        """Live for so long from now on; False when the node was given up meanwhile."""
        ...

    def leave(self, node: str) -> None:
        """Be a node no more."""
        ...

    def remove_expired(self) -> int:
        """Take away the nodes whose time has run out, and say how many they were: they
        never come back.
        """
        ...

    def close(self) -> None:
        """Ask no more."""
        ...

    def living(self) -> list[str]:
        """The names of the nodes that nobody has given up."""
        ...

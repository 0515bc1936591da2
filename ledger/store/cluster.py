"""Leader locks, for work that one node does for all, such as projections or notifications, and the
registry of nodes.
"""

from __future__ import annotations

from typing import Protocol


class LeaderLock(Protocol):
    """One node's candidature for a role that one node has at a time."""

    def is_held(self) -> bool:
        """Whether this node holds the lock now; it is acquired if it is free. Asked before each
        step of the work. After losing the lock, returns False at least once before it can be
        re-acquired.
        """

    def close(self) -> None:
        """Release the lock."""


class AlwaysLeader:
    """The leader lock of a ledger that one process owns: always held."""

    def is_held(self) -> bool:
        return True

    def close(self) -> None:
        """No other process can acquire it."""


class NodeRegistry(Protocol):
    """Which nodes are alive. Every method raises Unavailable when the database cannot be
    reached.
    """

    def join(self, node: str, lease_seconds: float) -> None:
        """Register a node, with a lease of so many seconds. Names are used once."""

    def renew(self, node: str, lease_seconds: float) -> bool:
        """Renew the lease; False when the node was removed meanwhile."""

    def leave(self, node: str) -> None:
        """Remove a node that shuts down."""

    def remove_expired(self) -> int:
        """Remove the nodes whose lease has expired, and return their number: they can only join
        again under a new name.
        """

    def close(self) -> None:
        """Close the connection."""

    def living(self) -> list[str]:
        """The names of the registered nodes."""

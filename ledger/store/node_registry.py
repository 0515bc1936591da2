"""The nodes of a ledger, as its store keeps them."""

from __future__ import annotations

from typing import Protocol


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

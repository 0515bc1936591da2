"""What the writer and the dispatcher tell whoever measures, in plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Watch(Protocol):
    """Called in the threads that work, so it must be quick and must not raise."""

    def took_batch(self, command_count: int, waited_seconds: Sequence[float]) -> None:
        """A batch was answered: how many commands it had, and how long each of its callers waited,
        from handing them in to the answer.
        """
        ...

    def claimed(self, lag_seconds: float) -> None:
        """A run was claimed so long after it was due."""
        ...


class Unwatched:
    """Nobody measures."""

    def took_batch(self, command_count: int, waited_seconds: Sequence[float]) -> None:
        """Forget it."""

    def claimed(self, lag_seconds: float) -> None:
        """Forget it."""

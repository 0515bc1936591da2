"""What a dispatcher knows of one job that is due: when it is to be claimed, and whether a place is
free.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The job's place in the queue of a node, and the node's places. `release_at` is None when it
    does not wait there; `is_late` marks a start that is spread out after a silence.
    """

    release_at: datetime | None
    is_late: bool
    running_count: int
    concurrency: int

    @property
    def are_taken(self) -> bool:
        return self.running_count >= self.concurrency

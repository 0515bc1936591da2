"""Which open runs nobody holds any more: the one rule by which a run becomes lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ledger.domain.state import OpenRun


@dataclass(frozen=True, slots=True)
class Lost:
    """A run that nobody holds any more, and why."""

    job_id: UUID
    run_id: str
    cause: str


class Leases:
    """The leases as the only node of a SQLite ledger sees them.

    The file lock proves that every former owner is dead, so a run of another node is lost
    (`owner_restarted`). This node's own runs are held while it works on them, which their time-outs
    bound. One that it does not hold, because a target took it over (HTTP 202) or because its claim
    was answered with an error, is lost when its lease ends.
    """

    def __init__(self, node: str, is_held: Callable[[str], bool]) -> None:
        self._node = node
        self._is_held = is_held

    def lost(self, open_runs: Iterable[tuple[UUID, OpenRun]], now: datetime) -> Iterator[Lost]:
        """The runs that are lost now."""
        for job_id, run in open_runs:
            if run.node != self._node:
                yield Lost(job_id, run.run_id, "owner_restarted")
            elif run.lease_until <= now and not self._is_held(run.run_id):
                yield Lost(job_id, run.run_id, "lease_expired")

"""Which open runs nobody holds any more: the one rule by which a run becomes lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    (`owner_restarted`). This node's own runs end by their time-outs; a run that a target took over
    (HTTP 202) is held until its lease ends.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._taken_over: dict[str, datetime] = {}

    def take_over(self, run: OpenRun) -> None:
        """A target outside works on the run and reports later; the lease runs from the run's own
        `lease_until`.
        """
        self._taken_over[run.run_id] = run.lease_until

    def lost(self, open_runs: Iterable[tuple[UUID, OpenRun]], now: datetime) -> Iterator[Lost]:
        """The runs that are lost now."""
        for job_id, run in open_runs:
            if run.node != self._node:
                yield Lost(job_id, run.run_id, "owner_restarted")
            elif self._taken_over.get(run.run_id, now) < now:
                yield Lost(job_id, run.run_id, "lease_expired")

    def next_end(self) -> datetime | None:
        """When the next lease runs out."""
        return min(self._taken_over.values(), default=None)

    def end(self, run_id: str) -> None:
        """The run has an outcome."""
        self._taken_over.pop(run_id, None)

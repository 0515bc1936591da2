"""Which runs are open, on any node, and the leases of those that are executed elsewhere."""

from __future__ import annotations

import threading
from uuid import UUID

from ledger.domain.job.job import Job
from ledger.domain.job.state import OpenRun
from ledger.store.event_store import EventStore
from ledger.store.records import LeaseRow


class RunIndex:
    """Open runs and lease rows. The writer's thread changes them, others only read."""

    def __init__(self) -> None:
        self.leases: dict[str, LeaseRow] = {}
        self._lease_change = 0
        self._open: dict[int, tuple[UUID, OpenRun]] = {}
        self._lock = threading.Lock()

    def put(self, job: Job) -> None:
        """Store the open run of a job's new state; the lease of an ended one is dropped."""
        with self._lock:
            _, before = self._open.pop(job.id.int, (None, None))
            if job.open_run is not None:
                self._open[job.id.int] = (job.id, job.open_run)
            if before is not None and (
                job.open_run is None or job.open_run.run_id != before.run_id
            ):
                self.leases.pop(before.run_id, None)

    def open_runs(self) -> list[tuple[UUID, OpenRun]]:
        """The open runs with their jobs."""
        with self._lock:
            return list(self._open.values())

    def put_lease(self, row: LeaseRow) -> None:
        """Store until when a run that is executed elsewhere lives."""
        if row.expires_at is None:
            self.leases.pop(row.run_id, None)
        else:
            self.leases[row.run_id] = row

    def load_leases(self, event_store: EventStore) -> None:
        """Read all leases."""
        self.leases, self._lease_change = {}, 0
        self.follow_leases(event_store)

    def follow_leases(self, event_store: EventStore) -> None:
        """Read the leases that any node wrote since the last call.

        One may belong to a run whose start was not read yet; those of ended runs are dropped.
        """
        changes = event_store.leases(after=self._lease_change)
        self._lease_change = changes.change
        for row in changes.rows:
            self.put_lease(row)

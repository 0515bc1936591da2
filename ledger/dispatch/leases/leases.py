"""Which open runs are abandoned: the one rule by which a run is ended without a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ledger.application.job_cache import JobCache
from ledger.clock import from_microseconds
from ledger.dispatch.leases.membership import Membership
from ledger.domain.job.state import OpenRun
from ledger.store.records import LeaseRow

TIMEOUT = "timeout"
EXPIRED = "lease_expired"
GRACE = timedelta(seconds=30)
"""How long after a start runs of an earlier process, or of another node, are left alone: while the
ledger was down, a worker could neither extend its lease nor report.
"""


@dataclass(frozen=True, slots=True)
class AbandonedRun:
    """A run to end without a report, and why: a cause of `run_lost`, or its time-out."""

    job_id: UUID
    run: OpenRun
    cause: str


class Leases:
    """The leases as one node sees them.

    A run that is executed elsewhere (by a worker, or a target that took it over with HTTP 202) has
    a lease row of its own, whichever node started it. It is lost when that expires, and has failed
    when the job's time-out passes; the earlier one counts, however late it is noticed, so that
    after a downtime of the server such runs are lost rather than failed.

    Any other run lives as long as its node, according to membership. This node's own runs live
    while it works on them, which their time-outs bound; one that it does not work on, because its
    claim was answered with an error, is lost when its lease expires.
    """

    def __init__(
        self, nodes: Membership, job_cache: JobCache, is_executing: Callable[[str], bool]
    ) -> None:
        self._nodes = nodes
        self._job_cache = job_cache
        self._is_executing = is_executing
        self._stretch = 0
        self._connected_since: datetime | None = None
        """When this node began to check, in the present period without interruption."""

    def abandoned(self, now: datetime) -> Iterator[AbandonedRun]:
        """The runs to end now."""
        if self._stretch != self._nodes.stretch:
            self._stretch, self._connected_since = self._nodes.stretch, now
        open_runs = self._job_cache.runs.open_runs()
        self._nodes.refresh()
        for job_id, run in open_runs:
            cause = self._cause(job_id, run, now)
            if cause is not None:
                yield AbandonedRun(job_id, run, cause)

    def next_end(self, now: datetime) -> datetime | None:
        """The earliest end of a lease that has not expired yet."""
        ends = (self._end_with_grace(run) for _, run in self._job_cache.runs.open_runs())
        return min((end for end in ends if end > now), default=None)

    def _cause(self, job_id: UUID, run: OpenRun, now: datetime) -> str | None:
        if run.run_id in self._job_cache.runs.leases:
            return self._cause_elsewhere(job_id, run, now)
        if run.node != self._nodes.name:
            return self._nodes.lost_cause(run.node)
        is_over = run.lease_until <= now and not self._is_executing(run.run_id)
        return EXPIRED if is_over else None

    def _cause_elsewhere(self, job_id: UUID, run: OpenRun, now: datetime) -> str | None:
        end = _end(run, self._job_cache.runs.leases)
        deadline = self._deadline(job_id, run)
        if deadline is not None and deadline <= min(end, now):
            return TIMEOUT
        return EXPIRED if self._end_with_grace(run) <= now else None

    def _end_with_grace(self, run: OpenRun) -> datetime:
        end = _end(run, self._job_cache.runs.leases)
        is_inherited = run.node != self._nodes.name and self._connected_since is not None
        return (
            max(end, self._connected_since + GRACE)
            if is_inherited and self._connected_since
            else end
        )

    def _deadline(self, job_id: UUID, run: OpenRun) -> datetime | None:
        """When the run times out. One whose job is not cached only has its lease."""
        job = self._job_cache.jobs.get(job_id)
        return (
            run.started_at + timedelta(seconds=job.parsed_policy.timeout_seconds) if job else None
        )


def _end(run: OpenRun, rows: Mapping[str, LeaseRow]) -> datetime:
    row = rows.get(run.run_id)
    if row is None or row.expires_at is None:
        return run.lease_until
    return from_microseconds(row.expires_at)

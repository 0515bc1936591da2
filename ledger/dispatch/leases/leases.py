"""Which open runs nobody holds any more: the one rule by which a run is given up."""

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
"""How long after a start a run of an earlier process, or of another node, is waited for: while
nobody answered, its worker could neither move its lease nor report.
"""


@dataclass(frozen=True, slots=True)
class AbandonedRun:
    """A run that nobody holds any more, and why: a cause of `run_lost`, or that its time is up."""

    job_id: UUID
    run: OpenRun
    cause: str


class Leases:
    """The leases as one node sees them.

    A run whose work is done elsewhere (a worker's, or one that a target took over with HTTP
    202) lives by a row of its own, whatever node began it. It is lost when that ends, and has
    failed when the job's time-out passes; what came first counts, however late it is seen, so
    that a server that was away makes losses of it and no failures.

    Any other lives as long as its node does, of which the node's membership knows. This node's
    own runs are held while it works on them, which their time-outs bound; one that it does not
    hold, because its claim was answered with an error, is lost when its lease ends.
    """

    def __init__(
        self, nodes: Membership, job_cache: JobCache, is_held: Callable[[str], bool]
    ) -> None:
        self._nodes = nodes
        self._job_cache = job_cache
        self._is_held = is_held
        self._stretch = 0
        self._first_look: datetime | None = None
        """When this node began to look, in the present stretch without a break."""

    def abandoned(self, now: datetime) -> Iterator[AbandonedRun]:
        """The runs that are given up now."""
        if self._stretch != self._nodes.stretch:
            self._stretch, self._first_look = self._nodes.stretch, now
        open_runs = self._job_cache.runs.open_runs()
        self._nodes.look()
        for job_id, run in open_runs:
            cause = self._cause(job_id, run, now)
            if cause is not None:
                yield AbandonedRun(job_id, run, cause)

    def next_end(self, now: datetime) -> datetime | None:
        """When the next lease ends that has not ended yet."""
        ends = (self._end_with_grace(run) for _, run in self._job_cache.runs.open_runs())
        return min((end for end in ends if end > now), default=None)

    def _cause(self, job_id: UUID, run: OpenRun, now: datetime) -> str | None:
        if run.run_id in self._job_cache.runs.leases:
            return self._cause_elsewhere(job_id, run, now)
        if run.node != self._nodes.name:
            return self._nodes.lost_cause(run.node)
        is_over = run.lease_until <= now and not self._is_held(run.run_id)
        return EXPIRED if is_over else None

    def _cause_elsewhere(self, job_id: UUID, run: OpenRun, now: datetime) -> str | None:
        end = _end(run, self._job_cache.runs.leases)
        deadline = self._deadline(job_id, run)
        if deadline is not None and deadline <= min(end, now):
            return TIMEOUT
        return EXPIRED if self._end_with_grace(run) <= now else None

    def _end_with_grace(self, run: OpenRun) -> datetime:
        end = _end(run, self._job_cache.runs.leases)
        is_inherited = run.node != self._nodes.name and self._first_look is not None
        return max(end, self._first_look + GRACE) if is_inherited and self._first_look else end

    def _deadline(self, job_id: UUID, run: OpenRun) -> datetime | None:
        """When the run's time is up. One whose job is not in memory lives by its lease alone."""
        job = self._job_cache.jobs.get(job_id)
        return (
            run.started_at + timedelta(seconds=job.parsed_policy.timeout_seconds) if job else None
        )


def _end(run: OpenRun, rows: Mapping[str, LeaseRow]) -> datetime:
    row = rows.get(run.run_id)
    if row is None or row.expires_at is None:
        return run.lease_until
    return from_microseconds(row.expires_at)

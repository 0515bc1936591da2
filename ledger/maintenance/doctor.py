"""Finds inconsistencies: a job that is active and will never fire, a cached job that differs from
the fold of its events.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ledger.application.ledger import Ledger
from ledger.application.snapshots import dump_job
from ledger.domain.job.job import Job
from ledger.domain.job.view import instant

OVERDUE = timedelta(minutes=15)


def never_firing_jobs(ledger: Ledger) -> list[dict[str, Any]]:
    """Enabled jobs that are active with nothing to fire and no run under way, or whose pause has
    ended without a resume.
    """
    return [
        {
            "id": str(job.id),
            "name": job.name,
            "status": job.status,
            "paused_until": instant(job.paused_until),
            "next_run_at": instant(job.next_run_at),
        }
        for job in ledger.job_cache.snapshot()
        if _never_fires(job) or _is_overslept(job, ledger) or _is_overdue(job, ledger)
    ]


def stale_cached_jobs(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Jobs whose cached state differs from the fold of their events; reads every live job's whole
    history.
    """
    for cached in ledger.job_cache.snapshot():
        folded = ledger.fold(cached.id, upto=cached.version)
        if dump_job(cached) != dump_job(folded):
            yield {"id": str(cached.id), "name": cached.name, "version": cached.version}


def _never_fires(job: Job) -> bool:
    has_something = job.next_run_at is not None or job.open_run is not None or job.is_run_requested
    return job.status == "active" and job.enabled and not has_something


def _is_overdue(job: Job, ledger: Ledger) -> bool:
    """Overdue for longer than the spreading of late slots explains: no node runs it, or there is
    never a free slot.
    """
    due_at = job.next_run_at
    is_idle = job.may_fire and job.open_run is None
    return is_idle and due_at is not None and ledger.clock.now() - due_at > OVERDUE


def _is_overslept(job: Job, ledger: Ledger) -> bool:
    until = job.paused_until
    return (
        job.status == "paused"
        and until is not None
        and (ledger.clock.now() - until).total_seconds() > 60
    )

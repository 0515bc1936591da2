"""Runs without a dispatcher: claimed, and ended as a test says."""

from __future__ import annotations

from uuid import UUID

from ledger import Ledger
from ledger.application.commands.runs import (
    Claimed,
    ClaimRun,
    LoseRun,
    Outcome,
    RecordOutcome,
)
from tests.support.builders import ManualClock


def try_claim(ledger: Ledger, job_id: UUID, *, node: str = "node-1") -> Claimed | None:
    """Start what is due now; None when nothing is."""
    return ledger.execute(ClaimRun(job_id, ledger.context(), node=node, is_late=False))


def claim(ledger: Ledger, job_id: UUID) -> Claimed:
    """Start what is due now."""
    claimed = try_claim(ledger, job_id)
    assert claimed is not None, "nothing was due"
    return claimed


def end(ledger: Ledger, claimed: Claimed, outcome: Outcome) -> None:
    """Report how a run ended."""
    run_id = claimed.run.run_id
    ledger.execute(RecordOutcome(claimed.job_id, run_id, outcome, ledger.context()))


def lose(ledger: Ledger, claimed: Claimed, cause: str) -> None:
    """Report that how a run ended is unknown."""
    ledger.execute(LoseRun(claimed.job_id, claimed.run.run_id, cause, ledger.context()))


def run(ledger: Ledger, job_id: UUID, outcome: Outcome) -> None:
    """One run of what is due now."""
    end(ledger, claim(ledger, job_id), outcome)


def wait_until_due(ledger: Ledger, job_id: UUID) -> None:
    """Let time pass until a job's next run or probe, unless a run was requested."""
    job, clock = ledger.job_cache.jobs[job_id], ledger.clock
    assert isinstance(clock, ManualClock)
    due = job.probe_at or job.next_run_at
    if due is not None and not job.is_run_requested:
        clock.at = max(clock.at, due)


def run_when_due(ledger: Ledger, job_id: UUID, outcome: Outcome) -> None:
    """One run, at the job's own time."""
    wait_until_due(ledger, job_id)
    run(ledger, job_id, outcome)

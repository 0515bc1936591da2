"""What the doctor finds: jobs that will never run, and overdue jobs that no node runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from ledger.maintenance.doctor import never_firing_jobs
from tests.support.builders import ManualClock, a_spec, open_ledger


def test_a_job_that_is_long_overdue_is_named_with_its_instant(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = ledger.schedule(a_spec()).job_id
        clock.advance(timedelta(minutes=10))
        early = never_firing_jobs(ledger)

        clock.advance(timedelta(minutes=10))

        (job,) = never_firing_jobs(ledger)
        assert early == []
        assert (job["id"], job["next_run_at"]) == (str(job_id), "2026-03-02T12:01:00Z")

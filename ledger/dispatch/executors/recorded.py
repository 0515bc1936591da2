"""A sandbox: a fork in which nothing is executed, and every run ends as a run of that job was
recorded to end at that time.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from ledger.clock import Clock
from ledger.dispatch.executors.noop import NoopExecutor
from ledger.dispatch.executors.outcomes import Outcome, RunTicket
from ledger.domain.job.outcomes import Failure
from ledger.errors import StartRefused
from ledger.maintenance.fork_outcomes import RecordedRun, RecordedRuns

NO_HOST = "-"


class RecordedOutcomes:
    """Executes the runs of a sandbox (see `Executors`)."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self._clock = clock
        self._connection = _opened(file)
        self._runs = RecordedRuns(self._connection)

    async def execute(self, ticket: RunTicket) -> Outcome:
        """End as it was recorded, after as long as it took then."""
        run = self.like(ticket)
        if run is not None:
            await asyncio.sleep(min(run.duration_ms / 1000, ticket.timeout_seconds))
        return outcome_of(run, self._clock.now())

    def like(self, ticket: RunTicket) -> RecordedRun | None:
        """The recorded run whose outcome this one gets; None where the job never ran."""
        return self._runs.like(
            UUID(ticket.job_id),
            scheduled_for=ticket.scheduled_for,
            attempt=ticket.attempt,
            at=self._clock.now(),
        )

    async def aclose(self) -> None:
        """Close the file."""
        self._connection.close()


def outcome_of(run: RecordedRun | None, now: datetime) -> Outcome:
    """The outcome of a run that goes like the recorded `run`; success, where there is none."""
    if run is None or run.status == "succeeded":
        return replace(NoopExecutor.result, duration_ms=run.duration_ms if run is not None else 0)
    _, host, message = f"{run.signature}  ".split(" ", 2)
    after = timedelta(seconds=run.retry_seconds) if run.retry_seconds else None
    return Failure(
        error=run.error_text or message.strip(),
        failure_class=run.failure_class or "other",
        target=None if host == NO_HOST else host,
        retry_after=now + after if after is not None else None,
        duration_ms=run.duration_ms,
    )


def _opened(file: Path) -> sqlite3.Connection:
    """The file, opened for reading, for any thread. StartRefused when it is not a fork."""
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
    )
    try:
        connection.execute("SELECT 1 FROM recorded_runs LIMIT 1")
    except sqlite3.Error:
        connection.close()
        raise StartRefused(f"{file} is not a fork: create one with jobledger fork.") from None
    return connection

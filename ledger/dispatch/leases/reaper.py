"""Periodically finds abandoned runs and ends them."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from ledger.application.command_context import CommandContext
from ledger.application.commands import runs as run_commands
from ledger.application.commands.command import Command
from ledger.clock import EPOCH
from ledger.dispatch.leases.leases import TIMEOUT, AbandonedRun, Leases
from ledger.domain.job.outcomes import Failure

REAP_EVERY = timedelta(seconds=10)
"""How often abandoned runs are looked for."""
MAX_LOSSES = 500
"""Runs ended in one append."""


class LostRunReaper:
    """When to look for abandoned runs, and what is found."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._next_check_at = EPOCH

    def take(self, now: datetime) -> list[AbandonedRun]:
        """The abandoned runs: looked for at the start, and then every REAP_EVERY; at once again
        when there are more than one append takes.
        """
        if now < self._next_check_at <= now + REAP_EVERY:  # farther off, and the clock was set back
            return []
        self._next_check_at = min(now + REAP_EVERY, self._leases.next_end(now) or now + REAP_EVERY)
        lost = list(islice(self._leases.abandoned(now), MAX_LOSSES))
        if len(lost) == MAX_LOSSES:
            self.check_now()
        return lost

    def check_now(self) -> None:
        """Look again at once."""
        self._next_check_at = EPOCH

    def check_by(self, instant: datetime) -> None:
        """Look at this instant at the latest."""
        self._next_check_at = min(self._next_check_at, instant)


def ending_command(item: AbandonedRun, context: CommandContext) -> Command[Any]:
    """The command that ends a run: lost, or failed by time-out."""
    run = item.run
    if item.cause != TIMEOUT:
        return run_commands.LoseRun(item.job_id, run.run_id, item.cause, context)
    elapsed = context.now - run.started_at
    error = f"no report came within {elapsed.total_seconds():.0f} s"
    failure = Failure(error, TIMEOUT, duration_ms=elapsed // timedelta(milliseconds=1))
    return run_commands.RecordOutcome(item.job_id, run.run_id, failure, context)

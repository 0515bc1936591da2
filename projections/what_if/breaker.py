"""The breaker under the other policy: what it has counted, and when it would half-open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.domain.job.breaker import MAX_PROBE_WAIT, Policy
from ledger.domain.job.outcomes import UNCOUNTED_LOSSES
from projections.what_if.run_history import RunEnding


@dataclass(slots=True)
class Breaker:
    """Closed, with what it has counted, or tripped."""

    errors: int = 0
    losses: int = 0
    tries: int = 0
    is_tripped: bool = False
    signature: str | None = None
    probe_at: datetime | None = None
    probe_wait: timedelta = timedelta(0)
    stopped_fence: int | None = None
    """The fence of the last recorded run before it stopped later ones; None if it stopped none."""

    def count(self, ending: RunEnding, policy: Policy) -> bool:
        """Count the end of a run; whether it trips."""
        if ending.status == "succeeded":
            self.errors = self.losses = self.tries = 0
        elif ending.status == "failed":
            return self.count_error(ending.failure_class or "", policy)
        elif ending.status == "lost":
            return self._count_loss(ending.cause, policy)
        else:
            self.tries += 1
        return False

    def count_error(self, failure_class: str, policy: Policy) -> bool:
        """Count one failure; whether it trips."""
        is_counted = policy.counts_toward_streak(failure_class)
        self.errors += is_counted
        self.losses = 0
        self.tries += 1
        return is_counted and self.errors >= policy.trip_after

    def _count_loss(self, cause: str | None, policy: Policy) -> bool:
        is_counted = cause not in UNCOUNTED_LOSSES
        self.losses += is_counted
        self.tries += 1
        return is_counted and self.losses >= policy.max_losses

    def trip(self, at: datetime, signature: str | None, policy: Policy) -> None:
        """Trip, and set a probe after the policy's wait, if it has one."""
        self.is_tripped, self.signature = True, signature
        self.probe_wait = timedelta(seconds=policy.probe_after_seconds or 0)
        self.probe_at = at + self.probe_wait if self.probe_wait else None

    def fail_probe(self, at: datetime) -> None:
        """Set the next probe after twice the wait, at most 24 hours."""
        self.probe_wait = min(2 * self.probe_wait, MAX_PROBE_WAIT)
        self.probe_at = at + self.probe_wait

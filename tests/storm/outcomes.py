"""How runs end: each takes some simulated time, and fails during an outage of its target."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from uuid import UUID

from ledger.application.commands.runs import Claimed
from ledger.dispatch.executors.outcomes import Outcome
from ledger.domain.job.outcomes import Failure, Success
from tests.storm.fleet import Member
from tests.storm.outages import Outage, Outages
from tests.support.builders import ManualClock

MEAN_SECONDS, MOST_SECONDS = 20.0, 280.0
OWN_FAILURES = (
    ("timeout", "timed out after 30 s"),
    ("server_error", "503 Service Unavailable"),
    ("unreachable", "connection refused"),
)
OWN_FAILURE_RATE = 0.004
"""The share of runs of plain jobs that fail without an outage."""


class RunOutcomes:
    """Decides how runs end, for `TimedPool`."""

    def __init__(
        self, clock: ManualClock, chance: Random, outages: Outages, members: Mapping[UUID, Member]
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._outages = outages
        self._members = members

    def for_run(self, claimed: Claimed) -> tuple[timedelta, Outcome]:
        """How long the run takes, and how it ends."""
        now, member = self._clock.now(), self._members[claimed.job_id]
        outage = self._outages.for_run(member.target, now)
        took = min(self._chance.expovariate(1 / MEAN_SECONDS), MOST_SECONDS)
        took = took / 10 if outage else took
        outcome = _refused(outage, member, now, took) if outage else self._own(member, took)
        return timedelta(seconds=took), outcome

    def _own(self, member: Member, took: float) -> Outcome:
        if member.is_plain and self._chance.random() < OWN_FAILURE_RATE:
            kind, error = self._chance.choice(OWN_FAILURES)
            return Failure(error, kind, member.target, None, round(took * 1000))
        rows = self._chance.randrange(500)
        output = f"{rows} rows" if rows < 25 else ""
        digest = sha256(output.encode()).hexdigest()
        return Success(output, len(output), digest, round(took * 1000))


def _refused(outage: Outage, member: Member, now: datetime, took: float) -> Failure:
    waits = outage.retry_after_seconds
    wait = waits[member.number % len(waits)]
    retry_after = now + timedelta(seconds=wait) if wait else None
    kind, error = outage.failure_class, outage.error
    return Failure(error, kind, outage.target, retry_after, round(took * 1000))

"""What the fleet's runs meet: each takes a while of simulated time and ends as the weather has
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from uuid import UUID

from ledger.application.commands.runs import Claimed
from ledger.dispatch.executors.outcomes import Failed, Outcome, Succeeded
from tests.storm.fleet import Member
from tests.storm.weather import Trouble, Weather
from tests.support.builders import ManualClock

MEAN_SECONDS, MOST_SECONDS = 20.0, 280.0
MISHAPS = (
    ("timeout", "timed out after 30 s"),
    ("server_error", "503 Service Unavailable"),
    ("unreachable", "connection refused"),
)
MISHAP_RATE = 0.004
"""The share of a plain job's runs that fail of something of their own."""


class Fates:
    """What a run of the fleet meets; of use as the fate of `TimedRuns`."""

    def __init__(
        self, clock: ManualClock, chance: Random, weather: Weather, members: Mapping[UUID, Member]
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._weather = weather
        self._members = members

    def of(self, claimed: Claimed) -> tuple[timedelta, Outcome]:
        """How long the run takes, and how it ends."""
        now, member = self._clock.now(), self._members[claimed.job_id]
        trouble = self._weather.trouble(member.target, now)
        took = min(self._chance.expovariate(1 / MEAN_SECONDS), MOST_SECONDS)
        took = took / 10 if trouble else took
        outcome = _refused(trouble, member, now, took) if trouble else self._own(member, took)
        return timedelta(seconds=took), outcome

    def _own(self, member: Member, took: float) -> Outcome:
        if member.is_plain and self._chance.random() < MISHAP_RATE:
            kind, error = self._chance.choice(MISHAPS)
            return Failed(error, kind, member.target, None, round(took * 1000))
        rows = self._chance.randrange(500)
        said = f"{rows} rows" if rows < 25 else ""
        digest = sha256(said.encode()).hexdigest()
        return Succeeded(said, len(said), digest, round(took * 1000))


def _refused(trouble: Trouble, member: Member, now: datetime, took: float) -> Failed:
    waits = trouble.retry_after_seconds
    wait = waits[member.number % len(waits)]
    retry_after = now + timedelta(seconds=wait) if wait else None
    kind, error = trouble.failure_class, trouble.error
    return Failed(error, kind, trouble.target, retry_after, round(took * 1000))

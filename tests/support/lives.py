"""Random lives of jobs without a dispatcher: commands and runs, drawn with a seed.

A profile says what is drawn; the same profile and seed give the same life.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from ledger import Ledger
from ledger.application.command_context import CommandContext
from ledger.application.commands.runs import Claimed, Outcome
from ledger.domain.event_context import Actor
from ledger.domain.job.job import Job
from ledger.domain.job.outcomes import Failure
from tests.support import runs
from tests.support.builders import DAY, EVERY_MINUTE, SUCCESS, ManualClock, a_spec

ADMIN = Actor("admin", "user")
LIMITED = Failure("429 Too Many Requests", "rate_limited", "api.example.com", None, 7)
TIMED_OUT = Failure("timed out", "timeout", "api.example.com", None, 7)
REFUSED = Failure("401", "unauthorized", "api.example.com", None, 5)
INTERVAL = {"kind": "every", "interval_seconds": 60}


@dataclass(frozen=True)
class Lost:
    """An outcome that is unknown, and why."""

    cause: str


@dataclass(frozen=True)
class Profile:
    """What is drawn. Shares are between 0 and 1."""

    spec: Callable[[Random], dict[str, Any]]
    patch: Callable[[Random], dict[str, Any]]
    outcome: Callable[[Random], Outcome | Lost]
    changes: Sequence[Callable[[Life, Job], None]]
    """What happens to an active job instead of a run."""
    waits: Sequence[float]
    """Seconds between two steps."""
    least_jobs: int = 1
    new_jobs: float = 0.0
    runs: float = 0.75
    requested_runs: float = 0.0
    """The share of runs on request; the others start if they are due."""
    ended_runs: float = 1.0
    """The share of runs that end in the step in which they started."""
    is_patient: bool = False
    """Whether a run waits until its job is due."""


class Life:
    """Jobs that random commands and runs happen to."""

    def __init__(self, ledger: Ledger, seed: int, profile: Profile) -> None:
        assert isinstance(ledger.clock, ManualClock)
        self.ledger, self.clock, self.random = ledger, ledger.clock, Random(seed)
        self.ids: list[UUID] = []
        self._profile = profile

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        """Let some time pass, and one thing happen to one job."""
        self.clock.advance(timedelta(seconds=self.random.choice(self._profile.waits)))
        if len(self.ids) < self._profile.least_jobs or self._is_drawn(self._profile.new_jobs):
            spec = self._profile.spec(self.random)
            self.ids.append(self.ledger.schedule(spec, context=self._call()).job_id)
        else:
            self._happen(self.ledger.job_cache.jobs[self.random.choice(self.ids)])

    def _happen(self, job: Job) -> None:
        if job.open_run is not None and self._is_drawn(0.9):
            self._end(Claimed(job.id, job.name, job.task, None, 0.0, job.open_run))
        elif not job.enabled:
            self.amend(job, {"enabled": True} if self._is_drawn(0.4) else {})
        elif job.status != "active":
            self.ledger.resume(job.id, force=True, context=self._call())
        elif self._is_drawn(self._profile.runs) and job.open_run is None:
            self._run(job)
        else:
            change = self._profile.changes[self.random.randrange(len(self._profile.changes))]
            change(self, job)

    def _is_drawn(self, share: float) -> bool:
        return self.random.random() < share

    def _call(self) -> CommandContext:
        return self.ledger.context(actor=ADMIN, source="http")

    # -- runs -----------------------------------------------------------------------------------

    def _run(self, job: Job) -> None:
        if self._profile.is_patient:
            runs.wait_until_due(self.ledger, job.id)
        elif self._is_drawn(self._profile.requested_runs):
            self.ledger.run(job.id, context=self._call())
        claimed = runs.try_claim(self.ledger, job.id)
        if claimed is not None and self._is_drawn(self._profile.ended_runs):
            self.clock.advance(timedelta(seconds=1))
            self._end(claimed)

    def _end(self, claimed: Claimed) -> None:
        outcome = self._profile.outcome(self.random)
        if isinstance(outcome, Lost):
            runs.lose(self.ledger, claimed, outcome.cause)
        else:
            runs.end(self.ledger, claimed, outcome)

    # -- changes --------------------------------------------------------------------------------

    def pause(self, job: Job) -> None:
        self.ledger.pause(job.id, context=self._call())

    def pause_for_a_day(self, job: Job) -> None:
        self.ledger.pause(job.id, until=self.clock.now() + DAY, context=self._call())

    def delete(self, job: Job) -> None:
        if len(self.ids) < self._profile.least_jobs:
            self.amend(job)
        else:
            self.ledger.delete(job.id, context=self._call())
            self.ids.remove(job.id)

    def disable(self, job: Job) -> None:
        self.amend(job, {"enabled": False})

    def amend(self, job: Job, changes: dict[str, Any] | None = None) -> None:
        patch = {**self._profile.patch(self.random), **(changes or {})}
        self.ledger.amend(job.id, patch, context=self._call())


# -- a fleet whose targets are mostly out of order ------------------------------------------------


def _a_name(random: Random) -> str:
    return f"{random.choice(['old', 'new'])} {random.random()}"


def _a_member(random: Random) -> dict[str, Any]:
    tags = random.sample(["red", "green", "Blau"], random.randrange(3))
    name, schedule = _a_name(random), random.choice((EVERY_MINUTE, INTERVAL))
    return a_spec(name=name, tags=tags, schedule=schedule, policy={"trip_after": 4})


def _an_edit(random: Random) -> dict[str, Any]:
    name = _a_name(random)
    others: list[dict[str, Any]] = [{"tags": ["red"]}, {"tags": []}, {"name": name}]
    return {**random.choice(others), "task": name}


def _weather(random: Random) -> Outcome:
    if random.random() < 0.2:
        return SUCCESS
    return TIMED_OUT if random.random() < 0.3 else LIMITED


FLEET = Profile(
    _a_member,
    _an_edit,
    _weather,
    (Life.pause, Life.pause_for_a_day, Life.delete, Life.disable, Life.amend, Life.amend),
    waits=(1, 1, 1, 5, 5, 5, 5, 30, 30, 30, 30, 240, 4300),  # the long ones let a storm end
    least_jobs=5,
    new_jobs=0.04,
    requested_runs=0.7,
    ended_runs=0.7,
)


# -- one job whose policy changes ------------------------------------------------------------------

COUNTED = (["rate_limited"], ["unauthorized"], ["rate_limited", "unauthorized"])


def _a_wild_job(random: Random) -> dict[str, Any]:
    policy = {
        "trip_after": random.choice((2, 4)),
        "max_losses": random.choice((2, 3)),
        "counts": random.choice(COUNTED),
    }
    return a_spec(name="wild", policy=policy)


def _a_policy(random: Random) -> dict[str, Any]:
    policy = {"trip_after": random.choice((2, 3, 5)), "counts": random.choice(COUNTED)}
    return {"policy": policy}


def _any_outcome(random: Random) -> Outcome | Lost:
    if random.random() < 0.2:
        return Lost(random.choice(("lease_expired", "owner_restarted")))
    return random.choice((LIMITED, LIMITED, REFUSED, SUCCESS))


WILD = Profile(
    _a_wild_job,
    _a_policy,
    _any_outcome,
    (Life.pause, Life.amend),
    waits=(1, 7, 29, 300, 5000),
    runs=0.85,
    is_patient=True,
)

"""One history simulated and computed by hand: imports, probes and healthy periods."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from projections.what_if.policy_change import PolicyChange
from projections.what_if.run_history import JobRunHistory, PolicyEvent, RunEnding, Step
from projections.what_if.simulate import Simulation
from tests.support.builders import HOUR, MINUTE, NOON

POLICY = {
    "trip_after": 10, "max_losses": 3, "backoff_seconds": [60], "counts": ["rate_limited"],
    "probe_after_seconds": None, "timeout_seconds": 300, "lease_seconds": 60, "catch_up": "one",
    "jitter_seconds": 0,
}  # fmt: skip
"""The recorded policy: the job never trips by it, unless it was imported as failed."""


class Steps:
    """The steps of a history, each some time after noon."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.event("job.scheduled", policy=POLICY)

    def event(self, topic: str, after: timedelta = timedelta(0), **data: Any) -> Steps:
        place = len(self.steps) + 1
        self.steps.append(PolicyEvent(place, NOON + after, place, topic, data))
        return self

    def run(self, status: str, after: timedelta) -> Steps:
        place = len(self.steps) + 1
        failure_class, at = "rate_limited" if status == "failed" else None, NOON + after
        self.steps.append(
            RunEnding(place, at, place, status, "schedule", failure_class, None, None)
        )
        return self

    def simulate(self, **policy: Any) -> Simulation:
        """The same under another policy, until six hours after noon; without a storm."""
        life = JobRunHistory("job", len(self.steps), steps=self.steps)
        other = Simulation(life, PolicyChange(policy), 0, NOON + 6 * HOUR, no_storm)
        other.run()
        return other


def no_storm(signature: str | None, at: datetime) -> bool:
    return False


def test_a_job_imported_as_failed_needs_the_same_resume_under_every_policy() -> None:
    steps = Steps().event("job.imported", status="failed", consecutive_errors=4)

    waiting = steps.simulate(trip_after=5)
    assert waiting.recorded.status == waiting.other.status == "failed"
    forced = steps.event("job.force_resumed", HOUR).simulate(trip_after=5)

    assert forced.recorded == forced.other
    assert (forced.other.manual_resumes, forced.other.status) == (1, "active")


def test_imported_errors_count_under_the_other_policy_too() -> None:
    steps = Steps().event("job.imported", status="active", consecutive_errors=4)

    assert steps.run("failed", HOUR).simulate(trip_after=5).other.trips == 1
    assert steps.simulate(trip_after=6).other.trips == 0


def test_an_estimated_probe_waits_twice_as_long_after_each_failure() -> None:
    steps = Steps().run("failed", MINUTE).run("failed", 8 * MINUTE)

    other = steps.simulate(trip_after=1, probe_after_seconds=60).other

    # 1, 3 and 7 minutes after the trip a probe meets what the run 7 minutes after it met; nothing
    # is in the way of the one after 15 minutes.
    assert (other.trips, other.manual_resumes) == (1, 0)
    assert other.failures == 1 + 3
    assert other.attempts == 3 + 1


def test_a_probe_in_a_healthy_period_closes_the_breaker() -> None:
    steps = Steps().run("failed", MINUTE).run("succeeded", 10 * MINUTE).run("failed", 3 * HOUR)

    other = steps.simulate(trip_after=1, probe_after_seconds=3600).other

    assert (other.trips, other.failures) == (2, 2)
    assert other.attempts == 1 + 1

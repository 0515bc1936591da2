"""One life walked again, reckoned by hand: what an import, a probe and a healthy stretch mean."""

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
"""What the job has: it never trips here, unless it came tripped."""


class Story:
    """The steps of a life, told one by one, so long after noon each."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.turns("job.scheduled", policy=POLICY)

    def turns(self, topic: str, after: timedelta = timedelta(0), **data: Any) -> Story:
        place = len(self.steps) + 1
        self.steps.append(PolicyEvent(place, NOON + after, place, topic, data))
        return self

    def ends(self, status: str, after: timedelta) -> Story:
        place = len(self.steps) + 1
        failure_class, at = "rate_limited" if status == "failed" else None, NOON + after
        self.steps.append(
            RunEnding(place, at, place, status, "schedule", failure_class, None, None)
        )
        return self

    def under(self, **policy: Any) -> Simulation:
        """The same under another policy, until six hours after noon; no storm is on."""
        life = JobRunHistory("job", len(self.steps), steps=self.steps)
        other = Simulation(life, PolicyChange(policy), 0, NOON + 6 * HOUR, no_storm)
        other.run()
        return other


def no_storm(signature: str | None, at: datetime) -> bool:
    return False


def test_a_job_that_came_tripped_needs_the_same_resume_under_every_policy() -> None:
    story = Story().turns("job.imported", status="failed", consecutive_errors=4)

    waiting = story.under(trip_after=5)
    assert waiting.recorded.status == waiting.other.status == "failed"
    forced = story.turns("job.force_resumed", HOUR).under(trip_after=5)

    assert forced.recorded == forced.other
    assert (forced.other.manual_resumes, forced.other.status) == (1, "active")


def test_errors_that_came_with_a_job_count_under_the_other_policy_too() -> None:
    story = Story().turns("job.imported", status="active", consecutive_errors=4)

    assert story.ends("failed", HOUR).under(trip_after=5).other.trips == 1
    assert story.under(trip_after=6).other.trips == 0


def test_a_made_up_probe_waits_twice_as_long_after_each_that_failed() -> None:
    story = Story().ends("failed", MINUTE).ends("failed", 8 * MINUTE)

    other = story.under(trip_after=1, probe_after_seconds=60).other

    # 1, 3 and 7 minutes after the trip a probe meets what the run 7 minutes after it met; nothing
    # is in the way of the one after 15 minutes.
    assert (other.trips, other.manual_resumes) == (1, 0)
    assert other.failures == 1 + 3
    assert other.attempts == 3 + 1


def test_a_probe_that_falls_into_a_healthy_stretch_closes() -> None:
    story = Story().ends("failed", MINUTE).ends("succeeded", 10 * MINUTE).ends("failed", 3 * HOUR)

    other = story.under(trip_after=1, probe_after_seconds=3600).other

    assert (other.trips, other.failures) == (2, 2)
    assert other.attempts == 1 + 1

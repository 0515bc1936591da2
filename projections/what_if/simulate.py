"""One job's recorded history, run again under another policy.

Two breakers are compared: the recorded one, which the events open and close, and the other one,
which follows its own policy. While both are closed, or tripped at the same failure, everything is
*known*. Where only the other one tripped, what was recorded until the next resume would not have
happened. Where only the recorded one tripped, attempts are made up, and the result is *estimated*:
they fail while a storm of that signature lasted, and succeed outside of one. Probes that were not
recorded are made up in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from ledger.domain import events
from ledger.domain.job.breaker import Policy, policy_of
from projections.what_if.breaker import Breaker
from projections.what_if.policy_change import PolicyChange
from projections.what_if.run_history import JobRunHistory, PolicyEvent, PolicySpan, RunEnding

MAX_ESTIMATED = 10_000
"""Attempts that are made up after one trip; a shorter backoff would need more."""

StormLasts = Callable[[str | None, datetime], bool]
"""Whether a storm of a signature was open at an instant."""


@dataclass(slots=True)
class Counts:
    """What came of a job under one policy."""

    trips: int = 0
    failures: int = 0
    attempts: int = 0
    manual_resumes: int = 0
    status: str = "active"


@dataclass(slots=True)
class Simulation:
    """A history under a policy change, from the position `since` on, up to the instant `until`.
    Before `since` both policies are the recorded one, and nothing is counted.
    """

    history: JobRunHistory
    change: PolicyChange
    since: int
    until: datetime
    storm_lasts: StormLasts
    recorded: Counts = field(default_factory=Counts)
    other: Counts = field(default_factory=Counts)
    """Its attempts are those besides the recorded ones, without `avoided`."""
    avoided: list[PolicySpan] = field(default_factory=list)
    is_estimated: bool = False
    _breaker: Breaker = field(default_factory=Breaker)
    _was_tripped: bool = False
    _agrees: bool = False
    """Whether both breakers tripped at the same failure."""
    _status: str = "active"
    _is_healthy: bool = True
    """Whether the last recorded run succeeded."""
    _has_begun: bool = False
    _recorded_policy: Policy = field(default_factory=Policy)
    _policy: Policy = field(default_factory=Policy)

    def run(self) -> None:
        """Go through every step; the counts are complete afterwards."""
        for index, step in enumerate(self.history.steps):
            if not self._has_begun and step.position > self.since:
                self._begin()
            if isinstance(step, RunEnding):
                self._end_run(step)
            else:
                self._apply(step, index)
        if not self._has_begun:
            self._begin()
        self._end()

    def _begin(self) -> None:
        self._has_begun = True
        self.recorded, self.other = Counts(), Counts()
        self.avoided.clear()
        self.is_estimated = False
        self._set_policy(self._recorded_policy)

    def _set_policy(self, recorded: Policy) -> None:
        self._recorded_policy = recorded
        self._policy = self.change.apply_to(recorded) if self._has_begun else recorded

    # -- runs -----------------------------------------------------------------------------------

    def _end_run(self, ending: RunEnding) -> None:
        is_failure = ending.status == "failed"
        self.recorded.failures += is_failure
        if self._was_tripped:
            self._end_recorded_probe(ending, is_failure)
        elif self._breaker.is_tripped:
            self._probe_like_recorded_run(ending)
        if not self._was_tripped and not self._breaker.is_tripped:
            self.other.failures += is_failure
            self._count(ending)
        self._is_healthy = ending.status == "succeeded"

    def _count(self, ending: RunEnding) -> None:
        if self._breaker.count(ending, self._policy) and self._status == "active":
            self._breaker.stopped_fence = ending.fence
            self._trip(ending.at, ending.signature)

    def _end_recorded_probe(self, ending: RunEnding, is_failure: bool) -> None:
        """A run while the recorded breaker is tripped is its probe: the other breaker would have
        made it too only if it tripped at the same failure and half-opens after the same wait.
        """
        if self._follows_recorded():
            self.other.failures += is_failure
        elif self._breaker.stopped_fence is None:
            self.avoided.append(PolicySpan(ending.fence - 1, ending.fence + 1))

    def _trip(self, at: datetime, signature: str | None) -> None:
        self._breaker.trip(at, signature, self._policy)
        self.other.trips += 1

    def _follows_recorded(self) -> bool:
        waits = {policy.probe_after_seconds for policy in (self._policy, self._recorded_policy)}
        return self._agrees and len(waits) == 1

    # -- policy events --------------------------------------------------------------------------

    def _apply(self, event: PolicyEvent, index: int) -> None:
        match event.topic:
            case events.Scheduled.TOPIC:
                self._set_policy(policy_of(event.data["policy"]))
            case events.Amended.TOPIC:
                if "policy" in event.data["changes"]:
                    self._set_policy(policy_of(event.data["changes"]["policy"]))
            case events.Imported.TOPIC:
                self._import(event)
            case events.CircuitTripped.TOPIC:
                self._trip_as_recorded(event, index)
            case topic if topic in events.RESUME_TOPICS:
                self._resume_as_recorded(event)
            case topic:
                self._status = topic.removeprefix("job.")

    def _import(self, event: PolicyEvent) -> None:
        self._status = event.data["status"]
        self._breaker.errors = event.data["consecutive_errors"]
        if self._status == "failed":
            self._was_tripped = self._agrees = True
            self._breaker.trip(event.at, None, self._policy)

    def _trip_as_recorded(self, event: PolicyEvent, index: int) -> None:
        if self._was_tripped:
            return  # a failed probe: the job is failed since an earlier trip
        self._was_tripped, self._status = True, "failed"
        self.recorded.trips += 1
        last = self.history.steps[index - 1]
        if not self._breaker.is_tripped:
            self._continue_after_trip(event, index)
        elif isinstance(last, RunEnding) and self._breaker.stopped_fence == last.fence:
            self._agrees = True
            if self._follows_recorded():
                self._breaker.stopped_fence = None

    def _resume_as_recorded(self, event: PolicyEvent) -> None:
        is_forced = event.topic == events.ForceResumed.TOPIC
        is_probe = event.topic == events.CircuitClosed.TOPIC
        self.recorded.manual_resumes += is_forced
        did_follow, was_tripped = self._follows_recorded(), self._was_tripped
        self._was_tripped = self._agrees = False
        self._status = "active"
        if not self._breaker.is_tripped:
            self._clear_after_pause(was_tripped)
        elif not did_follow and self._is_closed_by_probe(event.at):
            self._resume(PolicySpan(0, event.version, self._breaker.probe_at))
        elif did_follow or not is_probe:
            self.other.manual_resumes += not is_probe
            self._resume(PolicySpan(0, event.version))

    def _clear_after_pause(self, was_tripped: bool) -> None:
        """The end of a pause clears both breakers' streaks. A resume that only the recorded breaker
        needed leaves the made-up attempts as they are.
        """
        if not was_tripped:
            self._breaker = Breaker()

    def _resume(self, stopped: PolicySpan) -> None:
        fence = self._breaker.stopped_fence
        if fence is not None:
            self.avoided.append(PolicySpan(fence, stopped.before_fence, stopped.until))
        self._breaker = Breaker()

    # -- what was not recorded ------------------------------------------------------------------

    def _continue_after_trip(self, event: PolicyEvent, index: int) -> None:
        """Make up the attempts after a trip that this policy would not have made."""
        self.is_estimated = True
        signature, failure_class = event.data["signature"], event.data["failure_class"]
        at, until = event.at, self._next_resume(index)
        for _ in range(MAX_ESTIMATED):
            at += self._policy.backoff(self._breaker.tries)
            if at >= until:
                return
            self.other.attempts += 1
            if not self.storm_lasts(signature, at):
                self._breaker = Breaker()
                return
            self.other.failures += 1
            if self._breaker.count_error(failure_class, self._policy):
                self._trip(at, signature)
                return

    def _is_closed_by_probe(self, until: datetime) -> bool:
        """Whether a made-up probe would have closed the breaker before `until`."""
        while self._breaker.probe_at is not None and self._breaker.probe_at < until:
            self.is_estimated = True
            self.other.attempts += 1
            if not self.storm_lasts(self._breaker.signature, self._breaker.probe_at):
                return True
            self.other.failures += 1
            self._breaker.fail_probe(self._breaker.probe_at)
        return False

    def _probe_like_recorded_run(self, ending: RunEnding) -> None:
        """Where only this breaker tripped, its probe ends as the next recorded run did."""
        while self._breaker.probe_at is not None and self._breaker.probe_at <= ending.at:
            self.is_estimated = True
            self.other.attempts += 1
            if self._is_healthy or ending.status == "succeeded":
                self._resume(PolicySpan(0, ending.fence, self._breaker.probe_at))
                return
            self.other.failures += 1
            self._breaker.fail_probe(self._breaker.probe_at)

    def _next_resume(self, index: int) -> datetime:
        for step in self.history.steps[index + 1 :]:
            if isinstance(step, PolicyEvent) and step.topic in events.RESUME_TOPICS:
                return step.at
        return self.until

    def _end(self) -> None:
        """A job that only this policy stopped needs one more resume, unless it was deleted."""
        self.recorded.status = self.other.status = self._status
        if self._breaker.is_tripped and not self._follows_recorded():
            if self._is_closed_by_probe(self.until):
                self._resume(PolicySpan(0, until=self._breaker.probe_at))
            elif self._breaker.stopped_fence is not None:
                self.avoided.append(PolicySpan(self._breaker.stopped_fence))
        if self._status == "deleted":
            return
        if self._breaker.is_tripped:
            self.other.status = "failed"
            self.other.manual_resumes += not self._was_tripped
        elif self._was_tripped:
            self.other.status = "active"

"""One job's recorded life, walked again under another policy (DESIGN §12).

Two breakers stand side by side: the recorded one, which the events open and close, and the other
one, which judges by its own policy. While both are closed, or tripped of the same failure,
everything is *known*. Where only the other one tripped, what was recorded until the next resume
would not have been. Where only the recorded one tripped, attempts are made up, and the answer is
*estimated*: they fail while a storm of that signature lasted, and succeed outside of one. Probes
that were not recorded are made up in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from ledger.domain.job.breaker import Policy, policy_of
from projections.what_if.breaker import Breaker
from projections.what_if.policy_change import PolicyChange
from projections.what_if.run_history import JobRunHistory, PolicyEvent, PolicySpan, RunEnding

MAX_MADE_UP = 10_000
"""Attempts that are made up after one trip; with a backoff so short, the rest is not told."""
REVIVALS = ("job.resumed", "job.force_resumed", "job.circuit_closed")

StormLasts = Callable[[str | None, datetime], bool]
"""Whether a storm of a signature was on at an instant."""


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
    """A life under what was `asked` of its policy, from the position `since` on, and up to the
    instant `until`. Before that both policies are the recorded one, and nothing is counted.
    """

    life: JobRunHistory
    asked: PolicyChange
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
    """Whether both breakers tripped of the same failure."""
    _status: str = "active"
    _is_healthy: bool = True
    """Whether the last recorded run succeeded."""
    _has_begun: bool = False
    _recorded_policy: Policy = field(default_factory=Policy)
    _policy: Policy = field(default_factory=Policy)

    def walk(self) -> None:
        """Go through all of it; the tallies stand afterwards."""
        for place, step in enumerate(self.life.steps):
            if not self._has_begun and step.position > self.since:
                self._begin()
            if isinstance(step, RunEnding):
                self._end_run(step)
            else:
                self._turn(step, place)
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
        self._policy = self.asked.over(recorded) if self._has_begun else recorded

    # -- runs -----------------------------------------------------------------------------------

    def _end_run(self, ending: RunEnding) -> None:
        is_failure = ending.status == "failed"
        self.recorded.failures += is_failure
        if self._was_tripped:
            self._end_recorded_probe(ending, is_failure)
        elif self._breaker.is_tripped:
            self._probe_by_the_record(ending)
        if not self._was_tripped and not self._breaker.is_tripped:
            self.other.failures += is_failure
            self._judge(ending)
        self._is_healthy = ending.status == "succeeded"

    def _judge(self, ending: RunEnding) -> None:
        if self._breaker.judges(ending, self._policy) and self._status == "active":
            self._breaker.stopped_fence = ending.fence
            self._trip(ending.at, ending.signature)

    def _end_recorded_probe(self, ending: RunEnding, is_failure: bool) -> None:
        """What runs while a breaker is tripped is its probe: only a breaker that tripped with it,
        and half-opens alike, would have made it too.
        """
        if self._follows_the_record():
            self.other.failures += is_failure
        elif self._breaker.stopped_fence is None:
            self.avoided.append(PolicySpan(ending.fence - 1, ending.fence + 1))

    def _trip(self, at: datetime, signature: str | None) -> None:
        self._breaker.trip(at, signature, self._policy)
        self.other.trips += 1

    def _follows_the_record(self) -> bool:
        waits = {rules.probe_after_seconds for rules in (self._policy, self._recorded_policy)}
        return self._agrees and len(waits) == 1

    # -- turns ----------------------------------------------------------------------------------

    def _turn(self, turn: PolicyEvent, place: int) -> None:
        match turn.topic:
            case "job.scheduled":
                self._set_policy(policy_of(turn.data["policy"]))
            case "job.amended":
                if "policy" in turn.data["changes"]:
                    self._set_policy(policy_of(turn.data["changes"]["policy"]))
            case "job.imported":
                self._import(turn)
            case "job.circuit_tripped":
                self._trip_as_recorded(turn, place)
            case topic if topic in REVIVALS:
                self._revive(turn)
            case topic:
                self._status = topic.removeprefix("job.")

    def _import(self, turn: PolicyEvent) -> None:
        self._status = turn.data["status"]
        self._breaker.errors = turn.data["consecutive_errors"]
        if self._status == "failed":
            self._was_tripped = self._agrees = True
            self._breaker.trip(turn.at, None, self._policy)

    def _trip_as_recorded(self, turn: PolicyEvent, place: int) -> None:
        if self._was_tripped:
            return  # a probe that failed: it is failed since an earlier trip
        self._was_tripped, self._status = True, "failed"
        self.recorded.trips += 1
        last = self.life.steps[place - 1]
        if not self._breaker.is_tripped:
            self._go_on(turn, place)
        elif isinstance(last, RunEnding) and self._breaker.stopped_fence == last.fence:
            self._agrees = True
            if self._follows_the_record():
                self._breaker.stopped_fence = None

    def _revive(self, turn: PolicyEvent) -> None:
        is_forced, is_probe = (
            turn.topic == name for name in ("job.force_resumed", "job.circuit_closed")
        )
        self.recorded.manual_resumes += is_forced
        does_follow, was_tripped = self._follows_the_record(), self._was_tripped
        self._was_tripped = self._agrees = False
        self._status = "active"
        if not self._breaker.is_tripped:
            self._clear_if_it_was_paused(was_tripped)
        elif not does_follow and self._probes_itself_back(turn.at):
            self._come_back(PolicySpan(0, turn.version, self._breaker.probe_at))
        elif does_follow or not is_probe:
            self.other.manual_resumes += not is_probe
            self._come_back(PolicySpan(0, turn.version))

    def _clear_if_it_was_paused(self, was_tripped: bool) -> None:
        """The end of a pause clears the streaks of both; a resume that only the record needed
        leaves what is made up as it is.
        """
        if not was_tripped:
            self._breaker = Breaker()

    def _come_back(self, stopped: PolicySpan) -> None:
        fence = self._breaker.stopped_fence
        if fence is not None:
            self.avoided.append(PolicySpan(fence, stopped.before_fence, stopped.until))
        self._breaker = Breaker()

    # -- what was not recorded ------------------------------------------------------------------

    def _go_on(self, turn: PolicyEvent, place: int) -> None:
        """Make up the attempts after a trip that this policy would not have made."""
        self.is_estimated = True
        signature, failure_class = turn.data["signature"], turn.data["failure_class"]
        at, until = turn.at, self._next_revival(place)
        for _ in range(MAX_MADE_UP):
            at += self._policy.backoff(self._breaker.tries)
            if at >= until:
                return
            self.other.attempts += 1
            if not self.storm_lasts(signature, at):
                self._breaker = Breaker()
                return
            self.other.failures += 1
            if self._breaker.counts_error(failure_class, self._policy):
                self._trip(at, signature)
                return

    def _probes_itself_back(self, until: datetime) -> bool:
        """Whether a made-up probe would have closed the breaker before `until`."""
        while self._breaker.probe_at is not None and self._breaker.probe_at < until:
            self.is_estimated = True
            self.other.attempts += 1
            if not self.storm_lasts(self._breaker.signature, self._breaker.probe_at):
                return True
            self.other.failures += 1
            self._breaker.fail_probe(self._breaker.probe_at)
        return False

    def _probe_by_the_record(self, ending: RunEnding) -> None:
        """Where only this breaker tripped, its probe meets what the next recorded run met."""
        while self._breaker.probe_at is not None and self._breaker.probe_at <= ending.at:
            self.is_estimated = True
            self.other.attempts += 1
            if self._is_healthy or ending.status == "succeeded":
                self._come_back(PolicySpan(0, ending.fence, self._breaker.probe_at))
                return
            self.other.failures += 1
            self._breaker.fail_probe(self._breaker.probe_at)

    def _next_revival(self, place: int) -> datetime:
        for step in self.life.steps[place + 1 :]:
            if isinstance(step, PolicyEvent) and step.topic in REVIVALS:
                return step.at
        return self.until

    def _end(self) -> None:
        """A job that only this policy stopped waits for one more resume, unless it is deleted."""
        self.recorded.status = self.other.status = self._status
        if self._breaker.is_tripped and not self._follows_the_record():
            if self._probes_itself_back(self.until):
                self._come_back(PolicySpan(0, until=self._breaker.probe_at))
            elif self._breaker.stopped_fence is not None:
                self.avoided.append(PolicySpan(self._breaker.stopped_fence))
        if self._status == "deleted":
            return
        if self._breaker.is_tripped:
            self.other.status = "failed"
            self.other.manual_resumes += not self._was_tripped
        elif self._was_tripped:
            self.other.status = "active"

"""What-if once more, slowly and for all to see: from the raw events of one job, without copies.

Only for policies that trip at other thresholds or count other classes, without probes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ledger.clock import parse_rfc3339

Event = Mapping[str, Any]
Storms = Sequence[tuple[str, datetime, datetime]]
"""Signature, first and last failure."""
ENDINGS = ("job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked")


@dataclass
class Count:
    trips: int = 0
    failures: int = 0
    attempts: int = 0
    manual_resumes: int = 0


def as_recorded(history: Sequence[Event]) -> Count:
    """What the events say by themselves."""
    topics = [event["topic"] for event in history]
    return Count(
        trips=topics.count("job.circuit_tripped"),
        failures=topics.count("job.run_failed"),
        attempts=sum(topic in ENDINGS for topic in topics),
        manual_resumes=topics.count("job.force_resumed"),
    )


def as_it_would_have_been(
    history: Sequence[Event],
    changed: Mapping[str, Any],
    storms: Storms,
    end: datetime,
    *,
    not_counting: Sequence[str] = (),
) -> Count:
    """The same history under a changed policy, and without counting some classes."""
    slow = Slow(changed, storms)
    slow.not_counting = not_counting
    for place, event in enumerate(history):
        slow.take(event, partial(_next_resume_after, history, place, end))
    if slow.is_stopped and slow.status not in ("failed", "deleted"):
        slow.count.manual_resumes += 1
    return slow.count


def _next_resume_after(history: Sequence[Event], place: int, end: datetime) -> datetime:
    return next_resume(history[place + 1 :], end)


def next_resume(later: Sequence[Event], end: datetime) -> datetime:
    resumes = (e for e in later if e["topic"] in ("job.resumed", "job.force_resumed"))
    return next((parse_rfc3339(event["timestamp"]) for event in resumes), end)


class Slow:
    """Event after event, with plain counters."""

    def __init__(self, changed: Mapping[str, Any], storms: Storms) -> None:
        self.changed, self.storms = changed, storms
        self.not_counting: Sequence[str] = ()
        self.count = Count()
        self.policy: dict[str, Any] = {}
        self.status = "active"
        self.is_stopped = False
        self.clear()

    def clear(self) -> None:
        self.errors = self.losses = self.tries = 0

    def take(self, event: Event, until: Callable[[], datetime]) -> None:
        topic, data = event["topic"], event["data"]
        if topic == "job.scheduled":
            self.policy = {**data["policy"], **self.changed}
        if topic == "job.amended" and "policy" in data["changes"]:
            self.policy = {**data["changes"]["policy"], **self.changed}
        if topic in ENDINGS and not self.is_stopped:
            self.end_run(topic, data)
        if topic == "job.circuit_tripped":
            self.status = "failed"
            if not self.is_stopped:
                self.go_on(data, parse_rfc3339(event["timestamp"]), until())
        if topic in ("job.resumed", "job.force_resumed"):
            self.resume()
        if topic in ("job.paused", "job.completed", "job.deleted"):
            self.status = topic.removeprefix("job.")

    def end_run(self, topic: str, data: Mapping[str, Any]) -> None:
        self.count.attempts += 1
        is_over = False
        if topic == "job.run_succeeded":
            self.clear()
        if topic == "job.run_failed":
            is_over = self.fail(data)
        if topic == "job.run_lost":
            self.losses += data["cause"] not in ("owner_restarted", "shutdown")
            self.tries += 1
            is_over = self.losses >= self.policy["max_losses"]
        if is_over and self.status == "active":
            self.trip()

    def fail(self, data: Mapping[str, Any]) -> bool:
        name = data["failure_class"]
        is_counted = name in self.policy["counts"] and name not in self.not_counting
        self.count.failures += 1
        self.errors += is_counted
        self.losses = 0
        self.tries += 1
        return is_counted and self.errors >= self.policy["trip_after"]

    def trip(self) -> None:
        self.is_stopped = True
        self.count.trips += 1

    def go_on(self, data: Mapping[str, Any], at: datetime, until: datetime) -> None:
        while (at := at + self.wait()) < until:
            self.count.attempts += 1
            if not self.lasts(data["signature"], at):
                self.clear()
                return
            if self.fail(data):
                self.trip()
                return

    def wait(self) -> timedelta:
        steps = self.policy["backoff_seconds"]
        return timedelta(seconds=steps[min(max(self.tries, 1), len(steps)) - 1])

    def lasts(self, signature: str, at: datetime) -> bool:
        return any(one == signature and first <= at <= last for one, first, last in self.storms)

    def resume(self) -> None:
        self.count.manual_resumes += self.is_stopped
        if self.is_stopped or self.status == "paused":
            self.clear()
        self.status, self.is_stopped = "active", False

"""What goes wrong, where and when: outages of targets, and downtime of the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

NORTH, SOUTH = "api.north.example", "api.south.example"
CRM, FEEDS = "crm.example", "feeds.example"
FLAP = timedelta(minutes=20)
LIMITED = "429 Too Many Requests: the limit of requests per minute is reached"
EXPIRED = "401 Unauthorized: the API key has expired"
BAD_GATEWAY = "502 Bad Gateway"


@dataclass(frozen=True, slots=True)
class Interval:
    """From one instant until just before another."""

    begins_at: datetime
    ends_at: datetime

    def contains(self, at: datetime) -> bool:
        return self.begins_at <= at < self.ends_at


@dataclass(frozen=True, slots=True)
class Outage:
    """A target that fails every caller for a while, or on and off. `retry_after_seconds` is what
    it requests, for each job by its number.
    """

    target: str
    interval: Interval
    failure_class: str
    error: str
    retry_after_seconds: Sequence[int | None] = (None,)
    is_flapping: bool = False

    def affects(self, target: str, at: datetime) -> bool:
        """Whether a run against `target` that begins at `at` fails because of it."""
        if target != self.target or not self.interval.contains(at):
            return False
        return not self.is_flapping or (at - self.interval.begins_at) // FLAP % 6 == 1


@dataclass(frozen=True, slots=True)
class Outages:
    """All that is planted. Storms and the credential end before the downtime, or begin after it."""

    storms: tuple[Outage, Outage]
    credential: Outage
    flapping: Outage
    downtime: Interval

    def for_run(self, target: str, at: datetime) -> Outage | None:
        """The outage that affects a run which begins at an instant."""
        planted = (*self.storms, self.credential, self.flapping)
        return next((one for one in planted if one.affects(target, at)), None)


def outages(start: datetime, days: float) -> Outages:
    """The same outages for any length of 2 days or more, at the same fractions of it."""

    def interval(share: float, minutes: float, seconds: float = 0) -> Interval:
        hour = timedelta(hours=round(days * 24 * share))
        begins_at = start + hour + timedelta(seconds=seconds)
        return Interval(begins_at, begins_at + timedelta(minutes=minutes))

    waits = (None, 300, None, 120)
    return Outages(
        (
            Outage(NORTH, interval(0.2, 22), "rate_limited", LIMITED, waits),
            Outage(SOUTH, interval(0.78, 34), "rate_limited", LIMITED, waits),
        ),
        Outage(CRM, interval(0.37, 180), "unauthorized", EXPIRED),
        Outage(FEEDS, interval(0.05, days * 1100), "server_error", BAD_GATEWAY, is_flapping=True),
        interval(0.5, 9 * 60, seconds=15),
    )

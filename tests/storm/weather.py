"""What goes wrong, where and when: troubles of targets, and the silence of the node."""

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
class Stretch:
    """From one instant until before another."""

    begins_at: datetime
    ends_at: datetime

    def holds(self, at: datetime) -> bool:
        return self.begins_at <= at < self.ends_at


@dataclass(frozen=True, slots=True)
class Trouble:
    """A target that fails everybody for a while, or on and off. `retry_after_seconds` is what it
    asks for, each job by its number.
    """

    target: str
    when: Stretch
    failure_class: str
    error: str
    retry_after_seconds: Sequence[int | None] = (None,)
    is_flapping: bool = False

    def meets(self, target: str, at: datetime) -> bool:
        """Whether a run against `target` that begins at `at` fails of this."""
        if target != self.target or not self.when.holds(at):
            return False
        return not self.is_flapping or (at - self.when.begins_at) // FLAP % 6 == 1


@dataclass(frozen=True, slots=True)
class Weather:
    """All that is planted. Storms and credential are over before the silence, or begin after it."""

    storms: tuple[Trouble, Trouble]
    credential: Trouble
    flapping: Trouble
    silence: Stretch

    def trouble(self, target: str, at: datetime) -> Trouble | None:
        """What a run meets that begins now."""
        troubles = (*self.storms, self.credential, self.flapping)
        return next((one for one in troubles if one.meets(target, at)), None)


def weather(start: datetime, days: float) -> Weather:
    """The same troubles for any length from 2 days on, at the same shares of it."""

    def stretch(share: float, minutes: float, seconds: float = 0) -> Stretch:
        hour = timedelta(hours=round(days * 24 * share))
        begins_at = start + hour + timedelta(seconds=seconds)
        return Stretch(begins_at, begins_at + timedelta(minutes=minutes))

    waits = (None, 300, None, 120)
    return Weather(
        (
            Trouble(NORTH, stretch(0.2, 22), "rate_limited", LIMITED, waits),
            Trouble(SOUTH, stretch(0.78, 34), "rate_limited", LIMITED, waits),
        ),
        Trouble(CRM, stretch(0.37, 180), "unauthorized", EXPIRED),
        Trouble(FEEDS, stretch(0.05, days * 1100), "server_error", BAD_GATEWAY, is_flapping=True),
        stretch(0.5, 9 * 60, seconds=15),
    )

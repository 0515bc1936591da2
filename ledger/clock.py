"""The only reader of time: everything else is given an instant."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_SKEW = timedelta(seconds=5)
"""A machine whose own clock differs by more from the database's clock is reported."""


class Clock(Protocol):
    """The ledger's source of time. Tests and simulations pass their own."""

    def now(self) -> datetime:
        """The present instant, in UTC, with an offset."""

    def elapsed(self) -> float:
        """Seconds on a clock that never goes back; only differences are meaningful."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return time.monotonic()


class SetClock:
    """A clock that is set to an instant and stays there until it is started; then it runs like the
    machine's.
    """

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._began: float | None = None

    def start(self) -> None:
        """Run from now on."""
        self._began = time.monotonic()

    def now(self) -> datetime:
        if self._began is None:
            return self._at
        return self._at + timedelta(seconds=time.monotonic() - self._began)

    def elapsed(self) -> float:
        return time.monotonic()


def rfc3339(instant: datetime) -> str:
    """`instant` as RFC 3339 in UTC with `Z`, microseconds only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """The instant a stored RFC 3339 text names, in UTC. Raises ValueError without an offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return instant.astimezone(UTC)


def microseconds(instant: datetime) -> int:
    """µs since the epoch."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """The instant so many µs after the epoch, in UTC."""
    return EPOCH + timedelta(microseconds=count)

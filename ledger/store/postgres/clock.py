"""The database's clock as a node estimates it between two readings: all nodes share it, whatever
their own clocks show.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from ledger.clock import Clock, from_microseconds

READINGS_AT_START = 3
OLD_SECONDS = 30.0
"""A reading of this age is replaced by any newer one that is not too uncertain."""
MAX_DOUBT_SECONDS = 0.5
"""A reading with a round trip twice as long is less accurate than this machine's own clock since a
better one.
"""
LOOK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One answer of the database: its instant, and between which moments of our own clock it was
    taken (seconds).
    """

    at: datetime
    asked: float
    answered: float

    @property
    def doubt(self) -> float:
        """The largest error of the estimate, in seconds."""
        return (self.answered - self.asked) / 2

    def reckoned(self, elapsed: float) -> datetime:
        """The database's instant at an instant of our clock."""
        return self.at + timedelta(seconds=elapsed - (self.asked + self.answered) / 2)


class DatabaseClock:
    """A Clock that follows the readings of the database, and between them this machine's monotonic
    clock.
    """

    def __init__(self, local: Clock, connection: psycopg.Connection[Any]) -> None:
        self._local = local
        self._lock = threading.Lock()
        self.reading = min((self._asked(connection) for _ in range(READINGS_AT_START)), key=_doubt)
        """The reading in use, with its largest possible error."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self.reading.reckoned(self._local.elapsed())

    def elapsed(self) -> float:
        """See `Clock.elapsed`."""
        return self._local.elapsed()

    def read(self, connection: psycopg.Connection[Any]) -> None:
        """Read the database's clock again. The more accurate reading is used, until it is old; one
        with a very slow round trip is discarded: it may have been delayed on half of its way.
        """
        found = self._asked(connection)
        with self._lock:
            is_old = found.answered - self.reading.answered > OLD_SECONDS
            if found.doubt <= (MAX_DOUBT_SECONDS if is_old else self.reading.doubt):
                self.reading = found

    @property
    def skew(self) -> timedelta:
        """How far this machine's own clock is ahead of the database's."""
        return self._local.now() - self.now()

    def _asked(self, connection: psycopg.Connection[Any]) -> ClockReading:
        asked = self._local.elapsed()
        [(at,)] = connection.execute(LOOK).fetchall()
        return ClockReading(from_microseconds(at), asked, self._local.elapsed())


def off(skew: timedelta) -> str:
    """The difference of a clock, in words."""
    seconds = skew.total_seconds()
    return f"{abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}"


def _doubt(reading: ClockReading) -> float:
    return reading.doubt

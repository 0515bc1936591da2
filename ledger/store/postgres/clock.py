"""The database's clock as a node reckons it between two looks: all nodes share it,
whatever their own clocks say.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from ledger.clock import Clock, from_microseconds

LOOKS_AT_START = 3
OLD_SECONDS = 30.0
"""A look of this age gives way to any newer one that is not too doubtful."""
MAX_DOUBT_SECONDS = 0.5
"""An answer that took twice as long says less than this machine's own clock since a better one."""
LOOK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One answer of the database: the instant it named, and between which moments of our
    own it did (seconds).
    """

    at: datetime
    asked: float
    answered: float

    @property
    def doubt(self) -> float:
        """How far off the reckoning may be, in seconds."""
        return (self.answered - self.asked) / 2

    def reckoned(self, elapsed: float) -> datetime:
        """The database's instant at a moment of ours."""
        return self.at + timedelta(seconds=elapsed - (self.asked + self.answered) / 2)


class DatabaseClock:
    """A Clock that goes by the looks it was given, and between them by this machine's
    monotonic clock.
    """

    def __init__(self, local: Clock, connection: psycopg.Connection[Any]) -> None:
        self._local = local
        self._lock = threading.Lock()
        self._look = min((self._asked(connection) for _ in range(LOOKS_AT_START)), key=_doubt)

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._look.reckoned(self._local.elapsed())

    def elapsed(self) -> float:
        """See `Clock.elapsed`."""
        return self._local.elapsed()

    def read(self, connection: psycopg.Connection[Any]) -> None:
        """Ask the database again. The surer answer is kept, until it is old; a very slow one never
        counts: it may have been held up on one half of its way.
        """
        found = self._asked(connection)
        with self._lock:
            is_old = found.answered - self._look.answered > OLD_SECONDS
            if found.doubt <= (MAX_DOUBT_SECONDS if is_old else self._look.doubt):
                self._look = found

    @property
    def doubt_seconds(self) -> float:
        """How far off this reckoning may be."""
        return self._look.doubt

    @property
    def skew(self) -> timedelta:
        """How far this machine's own clock is ahead of the database's."""
        return self._local.now() - self.now()

    def _asked(self, connection: psycopg.Connection[Any]) -> ClockReading:
        asked = self._local.elapsed()
        [(at,)] = connection.execute(LOOK).fetchall()
        return ClockReading(from_microseconds(at), asked, self._local.elapsed())


def off(skew: timedelta) -> str:
    """How a clock is off, in words."""
    seconds = skew.total_seconds()
    return f"{abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}"


def _doubt(look: ClockReading) -> float:
    return look.doubt

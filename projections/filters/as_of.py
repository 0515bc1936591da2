"""Places in the past as callers name them: a position, or an instant, which means what was recorded
until then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ledger.clock import Clock, rfc3339
from ledger.errors import InvalidField
from ledger.store.event_reader import EventReader

PointInTime = int | datetime


@dataclass(frozen=True, slots=True, order=True)
class AsOf:
    """A place in the past, and the instant that questions asked there go by. Of two instants at one
    position the later one comes after the other.
    """

    position: int
    at: datetime


class AsOfResolver:
    """Tells which place of one ledger is meant. `name` is what refusals call it."""

    def __init__(self, events: EventReader, clock: Clock, tail: Callable[[], int]) -> None:
        """`tail` gives the last position that this process has taken in."""
        self._events = events
        self._clock = clock
        self._tail = tail

    def end(self, after_position: int | None = None) -> int:
        """Where the book ends, as this process knows it. Refuses InvalidField for what is beyond
        it.
        """
        end = self._tail()
        if after_position is not None:
            _require_within(after_position, end, "after_position")
        return end

    def position(self, as_of: PointInTime, name: str = "as_of") -> int:
        """The position that is meant. Refuses InvalidField for what is still to come, and for an
        instant without an offset.
        """
        if isinstance(as_of, datetime):
            require_offset(as_of, name)
            if as_of > self._clock.now():
                raise InvalidField(name, "is in the future: what will be is not known")
            return self._events.position_at(as_of)
        _require_within(as_of, self._tail(), name)
        return as_of

    def moment(self, as_of: PointInTime, name: str = "as_of") -> AsOf:
        """The position that is meant, and its instant. Refuses as `position`."""
        position = self.position(as_of, name)
        if isinstance(as_of, datetime):
            return AsOf(position, as_of)
        return AsOf(position, self._events.recorded_at(position))

    def past(self, as_of: PointInTime) -> AsOf:
        """As `moment`, of what is to be told as it stood. An instant before the first event is
        refused, too: there was no ledger yet. Position 0 is the empty one.
        """
        moment = self.moment(as_of)
        if moment.position == 0 and isinstance(as_of, datetime):
            first = self._events.first_recorded_at()
            if first is not None:
                raise InvalidField(
                    "as_of", f"is before the first event, which is of {rfc3339(first)}"
                )
        return moment

    def now(self) -> AsOf:
        """The end of the book, at this instant."""
        return AsOf(self.end(), self._clock.now())


def require_stretch(since: datetime | None, until: datetime | None) -> None:
    """Refuse InvalidField for two instants between which nothing can be."""
    for name, at in (("since", since), ("until", until)):
        if at is not None:
            require_offset(at, name)
    if since is not None and until is not None and until < since:
        raise InvalidField("until", "is before since")


def require_offset(at: datetime, name: str) -> None:
    """Refuse InvalidField for an instant that could be anywhere."""
    if at.tzinfo is None:
        raise InvalidField(name, "must be an instant with an offset: 2026-01-31T09:00:00Z")


def _require_within(position: int, end: int, name: str) -> None:
    if position > end:
        raise InvalidField(name, f"is beyond the end of the book, which is {end}")
    if position < 0:
        raise InvalidField(name, "is before the beginning of the book, which is 0")

"""Points in the past as callers name them: a position, or an instant, which stands for the last
position recorded by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ledger.clock import Clock, rfc3339
from ledger.errors import InvalidField
from ledger.store.event_reader import EventReader
from projections.filters.paging import require_offset

PointInTime = int | datetime


@dataclass(frozen=True, slots=True, order=True)
class AsOf:
    """A position and the instant that answers as of it go by. Ordered by position, then instant."""

    position: int
    at: datetime


class AsOfResolver:
    """Turns points in time into positions of one ledger. `name` is the field that refusals name."""

    def __init__(self, events: EventReader, clock: Clock, tail: Callable[[], int]) -> None:
        """`tail` gives the last position that this process has taken in."""
        self._events = events
        self._clock = clock
        self._tail = tail

    def tail(self, after_position: int | None = None) -> int:
        """The last position that this process has taken in. Raises InvalidField when
        `after_position` is beyond it.
        """
        tail = self._tail()
        if after_position is not None:
            _require_within(after_position, tail, "after_position")
        return tail

    def position(self, point: PointInTime, name: str = "as_of") -> int:
        """The position of a point in time. Raises InvalidField for one in the future, and for an
        instant without an offset.
        """
        if isinstance(point, datetime):
            require_offset(point, name)
            if point > self._clock.now():
                raise InvalidField(name, "is in the future")
            return self._events.position_at(point)
        _require_within(point, self._tail(), name)
        return point

    def resolve(self, point: PointInTime, name: str = "as_of") -> AsOf:
        """The position of a point in time, and its instant. Raises as `position`."""
        position = self.position(point, name)
        if isinstance(point, datetime):
            return AsOf(position, point)
        return AsOf(position, self._events.recorded_at(position))

    def past(self, point: PointInTime) -> AsOf:
        """As `resolve`, but raises InvalidField for an instant before the first event too: there
        was no ledger yet. Position 0 is the empty ledger.
        """
        as_of = self.resolve(point)
        if as_of.position == 0 and isinstance(point, datetime):
            first = self._events.first_recorded_at()
            if first is not None:
                raise InvalidField(
                    "as_of", f"is before the first event, which was recorded at {rfc3339(first)}"
                )
        return as_of

    def now(self) -> AsOf:
        """The last position, at the present instant."""
        return AsOf(self.tail(), self._clock.now())


def _require_within(position: int, tail: int, name: str) -> None:
    if position > tail:
        raise InvalidField(name, f"is beyond the last position, {tail}")
    if position < 0:
        raise InvalidField(name, "is before position 0, the empty ledger")

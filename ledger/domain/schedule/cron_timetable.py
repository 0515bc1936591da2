"""One cron schedule, compiled: its fires as instants, with the rules for changes of the clock.

Decision 7 describes the rules.
"""

from __future__ import annotations

from bisect import bisect_right
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol

from ledger.domain.schedule.cron_grammar import CRONS_KEPT, parse_cron
from ledger.domain.schedule.schedules import Cron
from ledger.domain.schedule.time_zones import change_at, instant_of, offset_at, whole_minute, zone

GAPS_TRIED: Final = 40  # fires in a row that fall into gaps: no zone kept one rule that long
COUNTED_SLOTS: Final = 10_000

_FIRST_INSTANT: Final = datetime(1, 1, 3, tzinfo=UTC)  # local times before it may not exist
_LAST_INSTANT: Final = datetime.max.replace(tzinfo=UTC)
_MINUTE: Final = timedelta(minutes=1)
_TICK: Final = timedelta.resolution


class Calendar(Protocol):
    """Finds the wall times that an expression names, without time zones: croniter's interface.

    It stores its position in itself, so callers ask a copy.
    """

    def get_next(self, ret_type: type[datetime], start_time: datetime) -> datetime:
        """The first one later than `start_time`; ValueError or OverflowError when there is none."""


class Timetable:
    """One cron schedule, compiled. Safe in threads: all it writes is one immutable tuple."""

    __slots__ = ("_calendar", "_catches_up", "_fields", "_known", "_zone")

    def __init__(self, cron: Cron, calendar: Calendar | None) -> None:
        self._fields = parse_cron(cron.expr)
        self._zone = zone(cron.tz)
        self._catches_up = cron.dst == "vixie" and not self._fields.follows_minutes
        self._calendar = calendar
        self._known: tuple[datetime, datetime | None] = (_LAST_INSTANT, None)

    def next(self, after: datetime) -> datetime | None:
        """The first fire after `after`. From the instant last asked about until the answer given
        then the answer cannot change, so it is cached.
        """
        asked, answer = self._known
        if asked <= after and (answer is None or after < answer):
            return answer
        answer = self._search(max(after, _FIRST_INSTANT))
        self._known = (after, answer)
        return answer

    def count(self, first: datetime, until: datetime) -> tuple[int, datetime]:
        """How many slots from `first` to `until`, and the last of them; stops at 10,000."""
        count, last = 1, first
        while count < COUNTED_SLOTS:
            more, last = self._same_day(last, until, COUNTED_SLOTS - count)
            count += more
            upcoming = self.next(last)
            if upcoming is None or upcoming > until or count == COUNTED_SLOTS:
                break
            count, last = count + 1, upcoming
        return count, last

    def _search(self, after: datetime) -> datetime | None:
        local = after.astimezone(self._zone)
        wall = local.replace(tzinfo=None, fold=0, microsecond=0)
        change = change_at(self._zone, wall)
        if change is None:
            return self._from(wall, after)
        if not (self._fields.follows_minutes or change.is_correction):  # rule 2: the first pass
            return self._from(change.leaving - _TICK if local.fold else wall, after)
        answer = self._from(wall, after)
        if local.fold == 0 and (answer is None or answer >= change.at):  # the second pass is next
            return self._from(change.landing - _TICK, change.at - _TICK)
        return answer

    def _from(self, wall: datetime, after: datetime) -> datetime | None:
        """The instant, later than `after`, of the first named wall time later than `wall`."""
        for _ in range(GAPS_TRIED):
            named = self._next_wall(wall)
            if named is None:
                return None
            change = change_at(self._zone, named)
            if change is None:
                return instant_of(named, offset_at(self._zone, named))
            if change.is_repeat:
                first = instant_of(named, change.before)
                return first if first > after else instant_of(named, change.later)
            if self._catches_up and not change.is_correction:
                return instant_of(whole_minute(change.landing), change.later)
            wall = change.landing - _TICK
        return None

    def _next_wall(self, wall: datetime) -> datetime | None:
        if self._calendar is None:
            return None
        try:
            return copy(self._calendar).get_next(datetime, start_time=wall)
        except (ValueError, OverflowError):  # the calendar of datetime ends with the year 9999
            return None

    def _same_day(self, at: datetime, until: datetime, room: int) -> tuple[int, datetime]:
        """Slots after `at` on its local day, counted without iterating if no clock changes."""
        wall = at.astimezone(self._zone).replace(tzinfo=None)
        offset = wall - at.astimezone(UTC).replace(tzinfo=None)
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        stop = min(until.astimezone(UTC).replace(tzinfo=None) + offset, midnight + 1439 * _MINUTE)
        steady = offset_at(self._zone, stop) == offset_at(self._zone, stop, fold=1) == offset
        if not steady or not self._fields.has_day(wall.date()):
            return 0, at
        times = _times_of_day(self._fields.hours, self._fields.minutes)
        done = bisect_right(times, (wall - midnight) // _MINUTE)
        found = min(bisect_right(times, (stop - midnight) // _MINUTE) - done, room)
        if found <= 0:
            return 0, at
        return found, instant_of(midnight + times[done + found - 1] * _MINUTE, offset)


@lru_cache(maxsize=CRONS_KEPT)
def _times_of_day(hours: frozenset[int], minutes: frozenset[int]) -> tuple[int, ...]:
    return tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes))

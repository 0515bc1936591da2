"""When a schedule fires: croniter counts on a wall calendar, the clock's changes are ruled here."""

from __future__ import annotations

import re
from bisect import bisect_right
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any, Final
from zoneinfo import TZPATH, ZoneInfo

from cron_descriptor import FormatError, Options, get_description
from croniter import croniter

from ledger.clock import rfc3339
from ledger.domain.schedules import (
    CRONS_KEPT,
    NICKNAMES,
    At,
    Cron,
    CronFields,
    Every,
    Schedule,
    parse_cron,
    zone,
)
from ledger.errors import InvalidField, ScheduleInPast, ScheduleNeverFires

LARGEST_CHANGE: Final = timedelta(hours=3)  # beyond it, cron(8) calls a jump a correction
GAPS_TRIED: Final = 40  # fires in a row that fall into gaps: no zone kept one rule that long
COUNTED_SLOTS: Final = 10_000
PREVIEWED_FIRES: Final = 1_000
ANSWERS_KEPT: Final = 16_384

_FIRST_INSTANT: Final = datetime(1, 1, 3, tzinfo=UTC)  # local times before it may not exist
_LAST_INSTANT: Final = datetime.max.replace(tzinfo=UTC)
_MINUTE: Final = timedelta(minutes=1)
_SECOND: Final = timedelta(seconds=1)
_TICK: Final = timedelta.resolution
_ANY_DATE: Final = datetime(2000, 1, 1)
_SIZES: Final = (60, 24, 31, 12, 7)
_DAYS_IN_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def next_fire(schedule: Schedule, *, after: datetime) -> datetime | None:
    """The first fire strictly later than `after`, in UTC; None when there is none before 10000."""
    if after.tzinfo is None:
        raise ValueError("after must carry an offset")
    try:
        match schedule:
            case At(at):
                return at.astimezone(UTC) if at > after else None
            case Every():
                return _next_interval(schedule, after.astimezone(UTC))
            case Cron():
                return _timetable(schedule).next(after)
    except OverflowError:
        return None


def fires(schedule: Schedule, *, after: datetime, count: int) -> list[datetime]:
    """The first `count` fires after `after`, each as if the one before had ended at once."""
    if not 0 <= count <= PREVIEWED_FIRES:
        raise InvalidField("count", f"must lie between 0 and {PREVIEWED_FIRES}")
    found: list[datetime] = []
    while len(found) < count:
        upcoming = next_fire(schedule, after=found[-1] if found else after)
        if upcoming is None:
            break
        found.append(upcoming)
    return found


def require_fires(schedule: Schedule, *, now: datetime) -> None:
    """Refuses a schedule that would make a job which never runs.

    Raises ScheduleInPast for an instant gone by and ScheduleNeverFires for cron without a fire.
    """
    if next_fire(schedule, after=now) is not None:
        return
    if isinstance(schedule, At):
        raise ScheduleInPast(schedule.at.astimezone(UTC))
    raise ScheduleNeverFires(schedule.expr if isinstance(schedule, Cron) else describe(schedule))


# -- slots owed ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Missed:
    """Slots that went by unserved: counted exactly up to 10,000, `last` being the last counted."""

    count: int
    first: datetime
    last: datetime
    cause: str
    capped: bool

    def plain(self) -> dict[str, Any]:
        """As events carry it (DESIGN §4)."""
        return {
            "count": self.count,
            "first": rfc3339(self.first),
            "last": rfc3339(self.last),
            "cause": self.cause,
            "capped": self.capped,
        }


def missed_fires(
    schedule: Schedule, *, first: datetime, until: datetime, cause: str
) -> Missed | None:
    """The slots from `first` (one itself) up to and including `until`; None when none is owed.

    Counted once for the same question: ask before a command is queued, and the queue waits less.
    """
    return _missed(schedule, first, until, cause) if first <= until else None


@lru_cache(maxsize=ANSWERS_KEPT)
def _missed(schedule: Schedule, first: datetime, until: datetime, cause: str) -> Missed:
    match schedule:
        case At():
            count, last = 1, first
        case Every():
            count, last = _count_intervals(schedule, first, until)
        case Cron():
            count, last = _timetable(schedule).count(first, until)
    following = next_fire(schedule, after=last)
    capped = count == COUNTED_SLOTS and following is not None and following <= until
    return Missed(count, first.astimezone(UTC), last.astimezone(UTC), cause, capped)


# -- intervals ----------------------------------------------------------------------------------


def _next_interval(every: Every, after: datetime) -> datetime:
    step = timedelta(milliseconds=round(every.interval_seconds * 1000))
    if every.anchor == "end" or every.anchor_at is None:
        return after + step
    start = every.anchor_at.astimezone(UTC)
    return start if after < start else start + ((after - start) // step + 1) * step


def _count_intervals(every: Every, first: datetime, until: datetime) -> tuple[int, datetime]:
    step = timedelta(milliseconds=round(every.interval_seconds * 1000))
    second = next_fire(every, after=first)
    if second is None or second > until:
        return 1, first
    more = min((until - second) // step, COUNTED_SLOTS - 2)
    return more + 2, second + more * step


# -- cron ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a zone's clock: wall times between `leaving` and `landing` are skipped, or,
    when it lands earlier than it leaves, repeated."""

    at: datetime
    before: timedelta
    later: timedelta

    @property
    def leaving(self) -> datetime:
        """The wall time the old offset would have shown at the change."""
        return self.at.replace(tzinfo=None) + self.before

    @property
    def landing(self) -> datetime:
        """The wall time the new offset shows at the change."""
        return self.at.replace(tzinfo=None) + self.later

    @property
    def is_repeat(self) -> bool:
        return self.later < self.before

    @property
    def is_correction(self) -> bool:
        """Rule 3: too large for summer time, so nothing is caught up or held back."""
        return abs(self.later - self.before) > LARGEST_CHANGE


class _Timetable:
    """One cron schedule, compiled. Safe in threads: all it writes is one immutable tuple."""

    __slots__ = ("_calendar", "_catches_up", "_fields", "_known", "_zone")

    def __init__(self, cron: Cron) -> None:
        self._fields = parse_cron(cron.expr)
        self._zone = zone(cron.tz)
        self._catches_up = cron.dst == "vixie" and not self._fields.follows_minutes
        self._calendar = _calendar(self._fields)
        self._known: tuple[datetime, datetime | None] = (_LAST_INSTANT, None)

    def next(self, after: datetime) -> datetime | None:
        """The first fire after `after`. From the instant last asked about until the answer given
        then the answer cannot change, so it comes from memory."""
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
        change = _change_at(self._zone, wall)
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
            change = _change_at(self._zone, named)
            if change is None:
                return _instant(named, _offset(self._zone, named))
            if change.is_repeat:
                first = _instant(named, change.before)
                return first if first > after else _instant(named, change.later)
            if self._catches_up and not change.is_correction:
                return _instant(_whole_minute(change.landing), change.later)
            wall = change.landing - _TICK
        return None

    def _next_wall(self, wall: datetime) -> datetime | None:
        if self._calendar is None:
            return None
        try:
            # A copy, because croniter keeps its position in itself.
            found: datetime = copy(self._calendar).get_next(datetime, start_time=wall)
        except (ValueError, OverflowError):  # the calendar of datetime ends with the year 9999
            return None
        return found

    def _same_day(self, at: datetime, until: datetime, room: int) -> tuple[int, datetime]:
        """Slots after `at` on its local day, counted without walking if no clock changes."""
        wall = at.astimezone(self._zone).replace(tzinfo=None)
        offset = wall - at.astimezone(UTC).replace(tzinfo=None)
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        stop = min(until.astimezone(UTC).replace(tzinfo=None) + offset, midnight + 1439 * _MINUTE)
        steady = _offset(self._zone, stop) == _offset(self._zone, stop, fold=1) == offset
        if not steady or not self._fields.has_day(wall.date()):
            return 0, at
        times = _times_of_day(self._fields.hours, self._fields.minutes)
        done = bisect_right(times, (wall - midnight) // _MINUTE)
        found = min(bisect_right(times, (stop - midnight) // _MINUTE) - done, room)
        if found <= 0:
            return 0, at
        return found, _instant(midnight + times[done + found - 1] * _MINUTE, offset)


@lru_cache(maxsize=CRONS_KEPT)
def _timetable(cron: Cron) -> _Timetable:
    return _Timetable(cron)


@lru_cache(maxsize=CRONS_KEPT)
def _times_of_day(hours: frozenset[int], minutes: frozenset[int]) -> tuple[int, ...]:
    return tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes))


def _calendar(fields: CronFields) -> croniter | None:
    """croniter for the plain calendar, given only what it reads as cron does; None if no date fits.

    Sets are written out, for croniter takes `30-30` for the whole cycle and a full field for `*`.
    """
    days, weekdays, both = fields.days, fields.weekdays, fields.needs_both_days
    dated = any(day <= _DAYS_IN_MONTH[month - 1] for day in days for month in fields.months)
    if both and not dated:
        return None
    if not both and (len(days) == 31 or len(weekdays) == 7):
        days = weekdays = frozenset()
    elif not dated:
        days = frozenset()
    sets = (fields.minutes, fields.hours, days, fields.months, weekdays)
    expr = " ".join(map(_written, sets, _SIZES))
    return croniter(expr, _ANY_DATE, day_or=not both and dated)


def _written(values: frozenset[int], size: int) -> str:
    return "*" if len(values) in (0, size) else ",".join(map(str, sorted(values)))


# -- clocks -------------------------------------------------------------------------------------


def _change_at(tz: ZoneInfo, wall: datetime) -> _Change | None:
    """The change that skips or repeats `wall`, if one does (PEP 495: the folds then differ)."""
    before, later = _offset(tz, wall), _offset(tz, wall, fold=1)
    if before == later:
        return None
    low, high = _instant(wall, max(before, later)), _instant(wall, min(before, later))
    while high - low > _SECOND:  # 17 steps for a day
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if middle.astimezone(tz).utcoffset() == before:
            low = middle
        else:
            high = middle
    return _Change(high, before, later)


def _offset(tz: ZoneInfo, wall: datetime, fold: int = 0) -> timedelta:
    return wall.replace(tzinfo=tz, fold=fold).utcoffset() or timedelta()


def _instant(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _whole_minute(wall: datetime) -> datetime:
    floor = wall.replace(second=0, microsecond=0)
    return wall if floor == wall else floor + _MINUTE


# -- in words -----------------------------------------------------------------------------------

_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def describe(schedule: Schedule) -> str:
    """The schedule as one short English sentence."""
    match schedule:
        case At(at):
            return f"at {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case Every(seconds, _, anchor_at):
            grid = f", on the grid from {rfc3339(anchor_at)}" if anchor_at else ""
            return f"every {_duration(seconds)}{grid}"
        case Cron(expr, tz, _):
            return f"{_times_in_words(expr)} ({tz})"


@lru_cache(maxsize=ANSWERS_KEPT)
def _times_in_words(expr: str) -> str:
    options = Options(locale_code="en_US", use_24hour_time_format=True)
    fields = parse_cron(expr)
    try:
        text = str(get_description(_sayable(expr, fields), options))
    except FormatError:  # it cannot say every list that cron can mean
        return f'When cron says "{expr}"'
    if fields.needs_both_days and len(fields.days) < 31 and len(fields.weekdays) < 7:
        return text.replace(", or on ", ", only on ") + ", when both match"  # rule 4
    return text


def _sayable(expr: str, fields: CronFields) -> str:
    """`expr` as cron_descriptor understands it: stars for full fields, no nickname, no `07`."""
    sets = (fields.minutes, fields.hours, fields.days, fields.months, fields.weekdays)
    full = [len(values) == size for values, size in zip(sets, _SIZES, strict=True)]
    if not fields.needs_both_days:  # one full day field then means every day
        full[2] = full[4] = full[2] or full[4]
    words = re.sub(r"\b0+(?=\d)", "", NICKNAMES.get(expr, expr)).split()
    return " ".join("*" if is_full else word for is_full, word in zip(full, words, strict=True))


def _duration(seconds: float) -> str:
    unit, size = next((unit for unit in _UNITS if seconds % unit[1] == 0), _UNITS[-1])
    number = f"{seconds / size:.3f}".rstrip("0").rstrip(".")
    return unit if number == "1" else f"{number} {unit}s"


def planner() -> dict[str, str]:
    """What computed the fires: the versions of croniter and of the zone rules really in use."""
    return {"croniter": _croniter_version(), "tzdata": _tzdata_version()}


@lru_cache(maxsize=1)
def _croniter_version() -> str:
    return metadata.version("croniter")


@lru_cache(maxsize=1)
def _tzdata_version() -> str:
    """zoneinfo prefers the system's zone files over the wheel; tzdata.zi there says which."""
    for folder in TZPATH:
        if _first_line(f"{folder}/UTC"):
            return _first_line(f"{folder}/tzdata.zi").removeprefix("# version ") or "system"
    return str(import_module("tzdata").IANA_VERSION)


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="latin-1") as lines:  # noqa: PTH123 – the domain has no pathlib
            return lines.readline().strip()
    except OSError:
        return ""

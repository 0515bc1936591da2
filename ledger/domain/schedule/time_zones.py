"""Zones and their clocks: where wall times are skipped or repeated, and which rules apply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import import_module
from typing import Final
from zoneinfo import TZPATH, ZoneInfo

from ledger.errors import ScheduleInvalid, quoted

LARGEST_CHANGE: Final = timedelta(hours=3)  # beyond it, cron(8) calls a jump a correction
ZONES_KEPT: Final = 1_024

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_LOOK: Final = timedelta(hours=6)
_ZONE_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
# Files beside the zones: the machine's own choice, or clocks with leap seconds.
_NOT_ZONES: Final = frozenset({"Factory", "localtime", "posix", "posixrules", "right"})


@lru_cache(maxsize=ZONES_KEPT)
def zone(key: str) -> ZoneInfo:
    """The IANA zone of that name, case included. Refuses paths and this machine's own files."""
    if _ZONE_KEY.fullmatch(key) and key.split("/")[0] not in _NOT_ZONES:
        try:
            return ZoneInfo(key)
        except (KeyError, ValueError, OSError):
            pass
    raise ScheduleInvalid(
        f"tz {quoted(key)} is not a known time zone: use a name such as Europe/Berlin, or UTC."
    )


@dataclass(frozen=True, slots=True)
class Change:
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
        """Rule 3: too large for summer time, so nothing is caught up or suppressed."""
        return abs(self.later - self.before) > LARGEST_CHANGE


def change_at(tz: ZoneInfo, wall: datetime) -> Change | None:
    """The change that skips or repeats `wall`, if one does (PEP 495: the folds then differ)."""
    before, later = offset_at(tz, wall), offset_at(tz, wall, fold=1)
    if before == later:
        return None
    low, high = instant_of(wall, max(before, later)), instant_of(wall, min(before, later))
    return Change(_instant_of_change(tz, low, high), before, later)


def leaps(tz: ZoneInfo, *, after: datetime, until: datetime) -> list[Change]:
    """The changes after one instant and up to another at which the clock skips wall times, oldest
    first. Two changes within six hours, which no zone has made, may be taken for one.
    """
    found = []
    low = after.astimezone(UTC).replace(microsecond=0)
    while low < until:
        high = min(low + _LOOK, until.astimezone(UTC))
        before, later = _offset_of(tz, low), _offset_of(tz, high)
        if before < later:
            found.append(Change(_instant_of_change(tz, low, high), before, later))
        low = high
    return [change for change in found if after < change.at <= until]


def _instant_of_change(tz: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """When the offset of `low` ended, to the second, at `high` at the latest."""
    before = _offset_of(tz, low)
    while high - low > _SECOND:  # 17 steps for a day
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if _offset_of(tz, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset_of(tz: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(tz).utcoffset() or timedelta()


def offset_at(tz: ZoneInfo, wall: datetime, fold: int = 0) -> timedelta:
    """How far the clock is ahead of UTC when it shows `wall`, at its first or second pass."""
    return wall.replace(tzinfo=tz, fold=fold).utcoffset() or timedelta()


def instant_of(wall: datetime, offset: timedelta) -> datetime:
    """The instant at which a clock so far ahead of UTC shows `wall`."""
    return (wall - offset).replace(tzinfo=UTC)


def whole_minute(wall: datetime) -> datetime:
    """`wall`, or the first full minute after it."""
    floor = wall.replace(second=0, microsecond=0)
    return wall if floor == wall else floor + _MINUTE


# -- the rules' version --------------------------------------------------------------------------


@lru_cache(maxsize=1)
def zone_rules_version() -> str:
    """Which zone rules are in use: zoneinfo prefers the system's files, where tzdata.zi says it."""
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

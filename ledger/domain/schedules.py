"""What a schedule is and how it is written: one instant, an interval, or cron fields in a zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from ledger.clock import parse_rfc3339, rfc3339
from ledger.errors import InvalidField, ScheduleInvalid, UnknownField

LONGEST_CRON: Final = 256
LONGEST_INTERVAL_SECONDS: Final = 100 * 366 * 86_400
CRONS_KEPT: Final = 16_384
ZONES_KEPT: Final = 1_024

Dst = Literal["vixie", "skip"]


@dataclass(frozen=True, slots=True)
class At:
    """Fires once, at one instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Every:
    """Fires every `interval_seconds`: from the end of the last run, or on a grid of its own."""

    interval_seconds: float
    anchor: Literal["end", "grid"] = "end"
    anchor_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cron:
    """Fires when the wall clock of `tz` shows what `expr` names (DESIGN §7)."""

    expr: str
    tz: str = "UTC"
    dst: Dst = "vixie"


Schedule = At | Every | Cron

_KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "at": ("kind", "at"),
    "every": ("kind", "interval_seconds", "anchor", "anchor_at"),
    "cron": ("kind", "expr", "tz", "dst"),
}


def parse_schedule(given: object) -> Schedule:
    """The schedule that plain JSON describes. Keys are exact; what cannot be meant is refused.

    Raises UnknownField, InvalidField (missing, or not of the right type) and ScheduleInvalid.
    """
    if not isinstance(given, Mapping):
        raise InvalidField(
            "schedule", 'must be an object such as {"kind": "cron", "expr": "@daily"}'
        )
    kind = _text(given, "kind")
    if kind not in _KNOWN:
        raise ScheduleInvalid(f"Schedule kind {_shown(kind)} is not known: use at, every or cron.")
    for key in given:
        if key not in _KNOWN[kind]:
            raise UnknownField(f"schedule.{key}", _KNOWN[kind])
    return _PARSERS[kind](given)


def plain(schedule: Schedule) -> dict[str, Any]:
    """`schedule` as JSON, defaults written out; `parse_schedule` gives the same schedule back."""
    match schedule:
        case At(at):
            return {"kind": "at", "at": rfc3339(at)}
        case Every(seconds, anchor, anchor_at):
            number = int(seconds) if float(seconds).is_integer() else seconds
            grid = {} if anchor_at is None else {"anchor_at": rfc3339(anchor_at)}
            return {"kind": "every", "interval_seconds": number, "anchor": anchor, **grid}
        case Cron(expr, tz, dst):
            return {"kind": "cron", "expr": expr, "tz": tz, "dst": dst}


# -- the three kinds ----------------------------------------------------------------------------


def _parse_at(given: Mapping[str, object]) -> At:
    return At(_instant(given, "at"))


def _parse_every(given: Mapping[str, object]) -> Every:
    seconds = _interval(given.get("interval_seconds"))
    anchor = _text(given, "anchor", "end")
    anchored = given.get("anchor_at") is not None
    if anchor == "grid":
        return Every(seconds, "grid", _instant(given, "anchor_at") if anchored else None)
    if anchor != "end":
        raise ScheduleInvalid(f"anchor {_shown(anchor)} is not known: use end or grid.")
    if anchored:
        raise ScheduleInvalid('anchor_at means nothing with anchor "end": add "anchor": "grid".')
    return Every(seconds)


def _parse_cron(given: Mapping[str, object]) -> Cron:
    return _cron(_text(given, "expr"), _text(given, "tz", "UTC"), _text(given, "dst", "vixie"))


@lru_cache(maxsize=CRONS_KEPT)
def _cron(expr: str, tz: str, dst: str) -> Cron:
    words = " ".join(_words(expr))
    parse_cron(words)
    zone(tz)
    match dst:
        case "vixie" | "skip":
            return Cron(words, tz, dst)
    raise ScheduleInvalid(f"dst {_shown(dst)} is not known: use vixie or skip.")


_PARSERS: Final[dict[str, Callable[[Mapping[str, object]], Schedule]]] = {
    "at": _parse_at,
    "every": _parse_every,
    "cron": _parse_cron,
}


def _text(given: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = given.get(key, default)
    if not isinstance(value, str):
        raise InvalidField(f"schedule.{key}", "must be a string")
    return value


def _instant(given: Mapping[str, object], key: str) -> datetime:
    text = _text(given, key)
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise ScheduleInvalid(
            f"{key} {_shown(text)} names no instant: write it with an offset, 2026-01-31T09:00:00Z."
        ) from None


def _interval(value: object) -> float:
    if isinstance(value, bool):
        raise ScheduleInvalid("interval_seconds must be a number of seconds, not true or false.")
    if not isinstance(value, int | float):
        raise InvalidField("schedule.interval_seconds", "must be a number of seconds")
    if not 1 <= value <= LONGEST_INTERVAL_SECONDS:
        raise ScheduleInvalid(
            f"interval_seconds must lie between 1 and {LONGEST_INTERVAL_SECONDS} (a hundred years)."
        )
    if round(value * 1000) / 1000 != value:
        raise ScheduleInvalid("interval_seconds must be whole milliseconds: write 1.5, not 1.0005.")
    return float(value)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else f"{text[:61]}...")


# -- zones --------------------------------------------------------------------------------------

_ZONE_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
# Files that a system keeps beside the zones: the machine's own choice, or clocks with leap seconds.
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
        f"tz {_shown(key)} is not a zone: use an IANA name such as Europe/Berlin, or UTC."
    )


# -- cron's five fields -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CronFields:
    """Which wall times an expression names. Weekday 0 is Sunday."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    follows_minutes: bool
    needs_both_days: bool

    def has_day(self, day: date) -> bool:
        """Whether `day` is one of the expression's days."""
        named = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return day.month in self.months and (all if self.needs_both_days else any)(named)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _WEEKDAYS),
)
# cronie, entry.c: what each nickname sets. Only @hourly has a star in its time of day.
NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ELEMENT: Final = re.compile(
    r"(?:(?P<star>\*)|(?P<low>\d+|[a-z]+)(?:-(?P<high>\d+|[a-z]+))?)(?:/(?P<step>\d+))?",
    re.ASCII | re.IGNORECASE,
)


@lru_cache(maxsize=CRONS_KEPT)
def parse_cron(expr: str) -> CronFields:
    """The fields of a five-field expression or nickname, by cronie's grammar without extensions.

    Raises ScheduleInvalid. A field that begins with `*` (so `*/5` too, `5,*` not) is a star field:
    in minute or hour it makes the job follow real minutes, in a day field both days must match.
    """
    words = _words(expr)
    texts = NICKNAMES[words[0]].split() if len(words) == 1 and words[0] in NICKNAMES else words
    if len(texts) != len(_FIELDS):
        raise ScheduleInvalid(
            f"cron {_shown(expr)} must have five fields (minute hour day month weekday) "
            f"or be one of {', '.join(NICKNAMES)}."
        )
    minutes, hours, days, months, weekdays = map(_values, _FIELDS, texts)
    stars = [text.startswith("*") for text in texts]
    sundays = frozenset(day % 7 for day in weekdays)
    return CronFields(
        minutes, hours, days, months, sundays, stars[0] or stars[1], stars[2] or stars[4]
    )


def _words(expr: str) -> list[str]:
    """The fields, which only blanks and tabs keep apart."""
    if len(expr) > LONGEST_CRON or not expr.isascii():
        raise ScheduleInvalid(f"cron must be at most {LONGEST_CRON} plain ASCII characters.")
    return [word for word in re.split(r"[ \t]+", expr) if word]


def _values(field: _Field, text: str) -> frozenset[int]:
    return frozenset(value for part in text.split(",") for value in _element(field, part))


def _element(field: _Field, part: str) -> range:
    found = _ELEMENT.fullmatch(part)
    if found is None:
        raise _refused(field, part, "use numbers, lists, ranges, * and steps")
    star, low, high, step = found.group("star", "low", "high", "step")
    if step and not star and not high:
        raise _refused(field, part, "a step needs * or a range before it")
    first = field.low if star else _number(field, part, low)
    last = field.high if star else _number(field, part, high or low)
    stride = int(step or 1)
    if first > last:
        raise _refused(field, part, "a range runs upward (Sunday at its end is 7)")
    if not 1 <= stride <= field.high:
        raise _refused(field, part, f"a step lies between 1 and {field.high}")
    return range(first, last + 1, stride)


def _number(field: _Field, part: str, text: str) -> int:
    word = text.lower()
    if word in field.words:
        return field.words.index(word) + field.low
    if not word.isdigit() or not field.low <= int(word) <= field.high:
        raise _refused(field, part, f"it takes {field.low} to {field.high}")
    return int(word)


def _refused(field: _Field, part: str, problem: str) -> ScheduleInvalid:
    return ScheduleInvalid(f"cron {field.name} {_shown(part)} cannot be read: {problem}.")

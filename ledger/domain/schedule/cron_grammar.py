"""Cron's five fields as cronie reads them, without its extensions: text in, sets of numbers out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from ledger.errors import ScheduleInvalid, quoted

LONGEST_CRON: Final = 256
CRONS_KEPT: Final = 16_384
SIZES: Final = (60, 24, 31, 12, 7)  # how many values each field has when it is full
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

    @property
    def sets(self) -> tuple[frozenset[int], ...]:
        """The five fields, in the order they are written."""
        return self.minutes, self.hours, self.days, self.months, self.weekdays

    def has_day(self, day: date) -> bool:
        """Whether `day` is one of the expression's days."""
        named = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return day.month in self.months and (all if self.needs_both_days else any)(named)


@lru_cache(maxsize=CRONS_KEPT)
def parse_cron(expr: str) -> CronFields:
    """The fields of a five-field expression or nickname, by cronie's grammar without extensions.

    Raises ScheduleInvalid. A field that begins with `*` (so `*/5` too, `5,*` not) is a star field:
    in minute or hour it makes the job follow real minutes, in a day field both days must match.
    """
    words = words_of(expr)
    texts = NICKNAMES[words[0]].split() if len(words) == 1 and words[0] in NICKNAMES else words
    if len(texts) != len(_FIELDS):
        raise ScheduleInvalid(
            f"cron {quoted(expr)} must have five fields (minute hour day month weekday) "
            f"or be one of {', '.join(NICKNAMES)}."
        )
    minutes, hours, days, months, weekdays = map(_values, _FIELDS, texts)
    stars = [text.startswith("*") for text in texts]
    sundays = frozenset(day % 7 for day in weekdays)
    return CronFields(
        minutes, hours, days, months, sundays, stars[0] or stars[1], stars[2] or stars[4]
    )


def words_of(expr: str) -> list[str]:
    """The fields, separated by blanks and tabs only."""
    if len(expr) > LONGEST_CRON or not expr.isascii():
        raise ScheduleInvalid(f"cron must be at most {LONGEST_CRON} plain ASCII characters.")
    return [word for word in re.split(r"[ \t]+", expr) if word]


# -- one field -----------------------------------------------------------------------------------


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
_ELEMENT: Final = re.compile(
    r"(?:(?P<star>\*)|(?P<low>\d+|[a-z]+)(?:-(?P<high>\d+|[a-z]+))?)(?:/(?P<step>\d+))?",
    re.ASCII | re.IGNORECASE,
)


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
        raise _refused(field, part, f"a step must be from 1 to {field.high}")
    return range(first, last + 1, stride)


def _number(field: _Field, part: str, text: str) -> int:
    word = text.lower()
    if word in field.words:
        return field.words.index(word) + field.low
    if not word.isdigit() or not field.low <= int(word) <= field.high:
        raise _refused(field, part, f"it must be from {field.low} to {field.high}")
    return int(word)


def _refused(field: _Field, part: str, problem: str) -> ScheduleInvalid:
    return ScheduleInvalid(f"cron {field.name} {quoted(part)} cannot be read: {problem}.")

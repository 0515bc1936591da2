"""A slow second opinion: cronie's main loop (cron.c), minute by minute, and random crontabs for it.

It shares nothing with `ledger.domain.schedule.recurrence`: it walks UTC minutes, keeps
cronie's virtual clock, and asks of every wall minute whether the expression names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

LARGEST_JUMP_MINUTES = 180
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


@dataclass(frozen=True)
class Tick:
    """One UTC minute as crond lives it: the wall minute it shows and those it only catches up."""

    instant: datetime
    shown: datetime
    runs_fixed: bool
    caught_up: tuple[datetime, ...] = ()


def ticks(tz: str, start: datetime, end: datetime) -> Iterator[Tick]:
    """crond's wake-ups from `start` to `end`; `start` must lie far from any change."""
    zone, minute = ZoneInfo(tz), timedelta(minutes=1)
    virtual = start.astimezone(zone).replace(tzinfo=None) - minute
    instant = start
    while instant < end:
        shown = instant.astimezone(zone).replace(tzinfo=None, fold=0)
        jump = (shown - virtual) // minute - 1
        skipped = tuple(virtual + (n + 1) * minute for n in range(jump))
        if abs(jump) > LARGEST_JUMP_MINUTES:
            virtual, skipped = shown - minute, ()
        is_ahead = shown > virtual
        virtual = max(virtual, shown)
        yield Tick(instant, shown, is_ahead, skipped)
        instant += minute


@dataclass  # not frozen: its fields are read from `expr` once
class Crontab:
    """One line of a crontab, read character by character instead of by a grammar."""

    expr: str
    fields: list[set[int]] = field(init=False)
    is_wild: bool = field(init=False)
    is_and: bool = field(init=False)

    def __post_init__(self) -> None:
        texts = self.expr.split()
        self.fields = [set(self._numbers(text, n)) for n, text in enumerate(texts)]
        self.is_wild = texts[0][0] == "*" or texts[1][0] == "*"
        self.is_and = texts[2][0] == "*" or texts[4][0] == "*"

    @staticmethod
    def _numbers(text: str, index: int) -> Iterator[int]:
        low, high = RANGES[index]
        for part in text.split(","):
            span, _, step = part.partition("/")
            ends = [low, high] if span == "*" else [_number(end) for end in span.split("-")]
            for number in range(low, high + 1):
                if ends[0] <= number <= ends[-1] and (number - ends[0]) % int(step or 1) == 0:
                    yield 0 if index == 4 and number == 7 else number

    def names(self, wall: datetime) -> bool:
        """find_jobs(): whether crond would pick this line at that wall minute."""
        minutes, hours, days, months, weekdays = self.fields
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        day, weekday = wall.day in days, (wall.weekday() + 1) % 7 in weekdays
        return (day and weekday) if self.is_and else (day or weekday)

    def fires(self, day_by_day: list[Tick], *, dst: str = "vixie") -> list[datetime]:
        """The instants at which crond starts this line, each once."""
        return [tick.instant for tick in day_by_day if self._runs(tick, dst)]

    def _runs(self, tick: Tick, dst: str) -> bool:
        if self.names(tick.shown) and (self.is_wild or tick.runs_fixed):
            return True
        caught_up = () if self.is_wild or dst == "skip" else tick.caught_up
        return any(map(self.names, caught_up))


def _number(text: str) -> int:
    if text.isdigit():
        return int(text)
    name = text.lower()
    return MONTHS.index(name) + 1 if name in MONTHS else WEEKDAYS.index(name)


def changes(tz: str, year: int) -> list[datetime]:
    """The instants of `year` at which the zone's offset changes, found minute by minute."""
    zone, hour = ZoneInfo(tz), timedelta(hours=1)
    first = datetime(year, 1, 1, tzinfo=UTC)
    hours = [first + n * hour for n in range(366 * 24)]
    offsets = [at.astimezone(zone).utcoffset() for at in hours]
    found = []
    for at, before, later in zip(hours, offsets, offsets[1:], strict=False):
        if before != later:
            minutes = (at + timedelta(minutes=n) for n in range(1, 61))
            found.append(next(m for m in minutes if m.astimezone(zone).utcoffset() == later))
    return found


def random_crontab(random: Random, *, near: datetime | None = None) -> str:
    """A random line; around `near` (a wall time) it likes the hours in which clocks change."""
    hour = random.choice([*range(24)] + ([near.hour, (near.hour + 1) % 24] * 20 if near else []))
    minute = random.choice((random.randrange(60), 0, 15, 30, 45, 59))
    day = near.day if near and random.random() < 0.5 else random.randint(1, 31)
    month = near.month if near and random.random() < 0.7 else random.randint(1, 12)
    return " ".join(
        (
            _random_field(random, 0, minute, star=0.25),
            _random_field(random, 1, hour, star=0.25),
            _random_field(random, 2, day, star=0.7),
            _random_field(random, 3, month, star=0.8),
            _random_field(random, 4, random.randint(0, 7), star=0.7),
        )
    )


def _random_field(random: Random, index: int, value: int, *, star: float) -> str:
    if random.random() < star:
        return random.choice(("*", "*", "*", f"*/{random.randint(1, RANGES[index][1])}"))
    parts = [_random_part(random, index, value) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    random.shuffle(parts)
    return ",".join(parts)


def _random_part(random: Random, index: int, value: int) -> str:
    low, high = RANGES[index]
    other = random.randint(low, high)
    ends = f"{min(value, other)}-{max(value, other)}"
    shapes = [str(value)] * 4 + [f"{value:02}", str(other), ends, f"{value}-{value}"]
    shapes += [f"{ends}/{random.randint(1, high)}", f"{low}-{high}", "*"]
    return random.choice(shapes)

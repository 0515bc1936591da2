"""Instants and durations, as they are typed and as they are shown."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from api.cli.exit_codes import Misused
from api.cli.text import shortened
from ledger.clock import SystemClock, parse_rfc3339, rfc3339

UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
LONGEST_SECONDS = 100 * 366 * 86_400
"""A hundred years, the limit of an interval."""
STEPS = ((86_400 * 2, 86_400, "d"), (3600 * 2, 3600, "h"), (60 * 2, 60, "min"), (0, 1, "s"))
"""From how many seconds on which unit is used: (at least, size, name)."""

_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|min|[smhdw])?")
_SHOWN = 40


def read_duration(text: str, flag: str) -> float:
    """The seconds of `90s`, `5m`, `2h`, `1h30m` or a plain number. Raises Misused."""
    parts = list(_DURATION.finditer(text))
    is_whole = "".join(part[0] for part in parts) == text.rstrip() and bool(parts)
    if not is_whole or (len(parts) > 1 and not all(part[2] for part in parts)):
        raise Misused(
            f"{flag}: {shown(text)} is not a valid duration; write 90s, 5m, 2h, 1d or 1h30m."
        )
    seconds = round(sum(float(part[1]) * UNITS[part[2] or "s"] for part in parts), 6)
    if not 0 < seconds <= LONGEST_SECONDS:
        raise Misused(f"{flag}: {shown(text)} must be more than 0 and at most 100 years.")
    return seconds


def read_instant(text: str, flag: str, now: datetime, *, direction: int = 1) -> str:
    """An instant as the API takes it, from RFC 3339 with an offset or a duration from now (ago with
    `direction=-1`). Raises Misused.
    """
    try:
        return rfc3339(parse_rfc3339(text.strip()))
    except (ValueError, OverflowError):
        pass
    try:
        return rfc3339(now + direction * timedelta(seconds=read_duration(text, flag)))
    except (Misused, OverflowError):
        raise Misused(
            f"{flag}: {shown(text)} is not a valid instant; write 2026-12-01T09:00:00Z (with an "
            "offset), or a duration such as 2h."
        ) from None


def read_past(text: str | None, flag: str) -> str | None:
    """An instant in the past, or how long ago, as the API takes it. Raises Misused."""
    return read_instant(text, flag, SystemClock().now(), direction=-1) if text else None


def read_when(text: str | None, flag: str, now: datetime) -> str | None:
    """A position, an instant, or how long ago, as the API takes it. Raises Misused."""
    if text is None or (text.isascii() and text.isdigit()):
        return text
    try:
        return read_instant(text, flag, now, direction=-1)
    except Misused:
        raise Misused(
            f"{flag}: {shown(text)} is not valid; write a position such as 4711, an instant such "
            "as 2026-12-01T09:00:00Z (with an offset), or how long ago: 2h."
        ) from None


def ago(text: str | None, now: datetime) -> str:
    """A stored instant and its distance: `2026-12-01T09:00:00Z (in 3 min)`."""
    if text is None:
        return "-"
    at = parse_rfc3339(text)
    return f"{to_the_second(text)} ({distance(at, now)})"


def until(text: str | None, now: datetime) -> str:
    """As `ago`, of a planned instant: once it has passed it is due."""
    if text is not None and parse_rfc3339(text) <= now:
        return f"{to_the_second(text)} (due)"
    return ago(text, now)


def ago_short(text: str | None, now: datetime, *, is_narrow: bool = False) -> str:
    """As `ago`, for a column: without the day when that is today (UTC), and the distance alone on a
    narrow terminal.
    """
    if is_narrow and text is not None:
        return distance(parse_rfc3339(text), now)
    return _ago_in_column(text, now, "%Y-%m-%d %H:%MZ")


def ago_with_seconds(text: str | None, now: datetime) -> str:
    """As `ago_short`, with seconds on any day."""
    return _ago_in_column(text, now, "%Y-%m-%d %H:%M:%SZ")


def _ago_in_column(text: str | None, now: datetime, other_day: str) -> str:
    if text is None:
        return "-"
    at = parse_rfc3339(text)
    shape = "%H:%M:%SZ" if at.date() == now.date() else other_day
    return f"{at:{shape}} {distance(at, now)}"


def distance(at: datetime, now: datetime) -> str:
    """`in 3 min`, `2 h ago`, `now`."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def span(seconds: float) -> str:
    """A duration in one unit, rounded down: `3 min`."""
    least, size, name = next(step for step in STEPS if seconds >= step[0])
    return f"{int(seconds // size)} {name}"


def to_the_second(text: str | None) -> str:
    """A stored instant without its fraction."""
    if text is None:
        return "never"
    return rfc3339(parse_rfc3339(text).replace(microsecond=0))


def took(milliseconds: int | None) -> str:
    """A measured duration: `12 ms`, `1.5 s`, `3 min`."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else span(milliseconds / 1000)


def interval(seconds: float) -> str:
    """An interval, exactly: `5m`, `90s`, `1.5s`."""
    for name, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{name}"
    return f"{seconds:g}s"


def shown(text: str) -> str:
    """What was typed, shortened and quoted."""
    return ascii(shortened(text, _SHOWN))

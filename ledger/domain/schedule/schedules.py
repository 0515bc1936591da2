"""What a schedule is and how it is written: one instant, an interval, or cron fields in a zone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal

from ledger.clock import parse_rfc3339, rfc3339
from ledger.domain.schedule.cron_grammar import CRONS_KEPT, parse_cron, words_of
from ledger.domain.schedule.time_zones import zone
from ledger.errors import InvalidField, ScheduleInvalid, UnknownField, quoted

LONGEST_INTERVAL_SECONDS: Final = 100 * 366 * 86_400

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
    """Fires when the wall clock of `tz` shows what `expr` names."""

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
    """The schedule that plain JSON describes. Keys are exact; anything ambiguous is refused.

    Raises UnknownField, InvalidField (missing, or not of the right type) and ScheduleInvalid.
    """
    if not isinstance(given, Mapping):
        raise InvalidField(
            "schedule", 'must be an object such as {"kind": "cron", "expr": "@daily"}'
        )
    kind = _text(given, "kind")
    if kind not in _KNOWN:
        raise ScheduleInvalid(f"Schedule kind {quoted(kind)} is unknown: use at, every or cron.")
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
        raise ScheduleInvalid(f"The anchor {quoted(anchor)} is unknown: use end or grid.")
    if anchored:
        raise ScheduleInvalid('anchor_at has no effect with anchor "end": add "anchor": "grid".')
    return Every(seconds)


def _parse_cron(given: Mapping[str, object]) -> Cron:
    return _cron(_text(given, "expr"), _text(given, "tz", "UTC"), _text(given, "dst", "vixie"))


@lru_cache(maxsize=CRONS_KEPT)
def _cron(expr: str, tz: str, dst: str) -> Cron:
    words = " ".join(words_of(expr))
    parse_cron(words)
    zone(tz)
    match dst:
        case "vixie" | "skip":
            return Cron(words, tz, dst)
    raise ScheduleInvalid(f"The dst rule {quoted(dst)} is unknown: use vixie or skip.")


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
            f"{key} {quoted(text)} is not an instant: write it with an offset, "
            "such as 2026-01-31T09:00:00Z."
        ) from None


def _interval(value: object) -> float:
    if isinstance(value, bool):
        raise ScheduleInvalid("interval_seconds must be a number of seconds, not true or false.")
    if not isinstance(value, int | float):
        raise InvalidField("schedule.interval_seconds", "must be a number of seconds")
    if not 1 <= value <= LONGEST_INTERVAL_SECONDS:
        raise ScheduleInvalid(
            f"interval_seconds must be from 1 to {LONGEST_INTERVAL_SECONDS} (a hundred years)."
        )
    if round(value * 1000) / 1000 != value:
        raise ScheduleInvalid("interval_seconds must be whole milliseconds: write 1.5, not 1.0005.")
    return float(value)

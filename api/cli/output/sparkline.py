"""Counts over time as one line of blocks, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from ledger.clock import parse_rfc3339

BLOCKS = "▁▂▃▄▅▆▇█"
NOTHING = " "
WIDEST = 60
"""Columns of a curve: a longer stretch is told in fewer."""
MINUTE = timedelta(minutes=1)


def by_minute(counts: Iterable[tuple[str, int]]) -> Sequence[int]:
    """Counts of single minutes, given as (instant, count), with the minutes between them filled in
    with none.
    """
    at = {parse_rfc3339(minute): count for minute, count in counts}
    return _filled(at) if at else []


def curve(counts: Sequence[int], width: int = WIDEST, *, peak: int | None = None) -> str:
    """One block for each count, as high as it is beside the highest, or beside the `peak` of a
    curve to compare it with; where there are more counts than columns, for the highest of several.
    """
    each = -(-len(counts) // width) or 1
    highs = [max(counts[start : start + each]) for start in range(0, len(counts), each)]
    highest = max(highs, default=0) if peak is None else peak
    return "".join(_block(count, highest) for count in highs)


def _filled(at: Mapping[datetime, int]) -> Sequence[int]:
    first, last = min(at), max(at)
    return [at.get(first + step * MINUTE, 0) for step in range((last - first) // MINUTE + 1)]


def _block(count: int, peak: int) -> str:
    if count == 0:
        return NOTHING
    return BLOCKS[-(-count * len(BLOCKS) // peak) - 1]

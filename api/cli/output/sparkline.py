"""Counts over time as one line of blocks, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from ledger.clock import parse_rfc3339

BLOCKS = "▁▂▃▄▅▆▇█"
NOTHING = " "
WIDEST = 60
"""Columns of a curve; a longer period is shown at a coarser scale."""
MINUTE = timedelta(minutes=1)


def by_minute(counts: Iterable[tuple[str, int]]) -> Sequence[int]:
    """Counts per minute from (instant, count) pairs; minutes without a pair count 0."""
    at = {parse_rfc3339(minute): count for minute, count in counts}
    return _filled(at) if at else []


def curve(counts: Sequence[int], width: int = WIDEST, *, peak: int | None = None) -> str:
    """One block per count, relative to the highest count, or to `peak` for curves to compare. With
    more counts than columns a block shows the highest of several counts.
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

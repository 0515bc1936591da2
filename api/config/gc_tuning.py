"""Tunes Python's garbage collector for a server, which keeps every job in memory.

By default the collector visits all objects every few thousand allocations, which costs more than
the commands do.
"""

from __future__ import annotations

import gc

YOUNG = 500_000
"""Allocations between two collections of the youngest generation."""
MIDDLE = 20
OLD = 100


def tune_garbage_collector() -> None:
    """Exclude all objects that exist now from collection. Call it once, after loading."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)

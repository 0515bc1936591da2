"""How the server's process treats its garbage: what is loaded at the start stays, and is not looked
through again.

A ledger keeps the present state of every job in memory for as long as it runs. The collector's
default is to walk all of it every few thousand allocations, which costs more than the commands do.
"""

from __future__ import annotations

import gc

YOUNG = 500_000
"""Allocations before the youngest objects are looked at."""
MIDDLE = 20
OLD = 100


def tune_garbage_collector() -> None:
    """Call once, when everything that stays has been loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)

"""Waiting for what should happen, with a limit that has a name, and saying so when it did not."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from ledger.clock import SystemClock

T = TypeVar("T")

LOOK_SECONDS = 0.15
"""Between two looks."""


class Broken(Exception):
    """A step of the story did not happen."""


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float) -> T:
    """What `look` finds, as soon as it finds something true. Broken after so many seconds."""
    clock, pause = SystemClock(), Event()
    end = clock.elapsed() + seconds
    while clock.elapsed() < end:
        if found := look():
            return found
        pause.wait(LOOK_SECONDS)
    raise Broken(f"{what} did not happen within {seconds:g} s.")


def require(what: str, is_so: bool) -> None:
    """Broken unless it is so."""
    if not is_so:
        raise Broken(f"{what}: that is not what the ledger says.")

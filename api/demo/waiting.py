"""Waits for what must happen, with a limit, and says what did not."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from ledger.clock import SystemClock

T = TypeVar("T")

POLL_SECONDS = 0.15
"""Between two attempts."""


class Broken(Exception):
    """A step did not happen."""


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float) -> T:
    """The first true result of `look`. Raises Broken after so many seconds."""
    clock, pause = SystemClock(), Event()
    end = clock.elapsed() + seconds
    while clock.elapsed() < end:
        if found := look():
            return found
        pause.wait(POLL_SECONDS)
    raise Broken(f"{what} did not happen within {seconds:g} s.")


def require(what: str, is_so: bool) -> None:
    """Raises Broken unless it is so."""
    if not is_so:
        raise Broken(f"{what}: the ledger says otherwise.")

"""The keys that somebody presses while something is shown; also how that is waited for."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

ESCAPE = b"\x1b"
LONGEST_KEY = 8
"""Bytes of one key after an escape, at most: an arrow sends three in all."""
HANG_UP = "\x04"
"""What a terminal that is gone is taken to say."""


class Keys(Protocol):
    """Where keys come from."""

    def wait(self, seconds: float) -> str | None:
        """The next key, or None when there was none within so long."""
        ...


class Keyboard:
    """The terminal's own keys, one by one and not shown."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def wait(self, seconds: float) -> str | None:
        """See `Keys.wait`."""
        if not self._has_more(seconds):
            return None
        key = os.read(self._descriptor, 1)
        if key == ESCAPE and self._has_more(0):
            key += os.read(self._descriptor, LONGEST_KEY)
        return key.decode(errors="replace") or HANG_UP

    def _has_more(self, seconds: float) -> bool:
        return bool(select.select([self._descriptor], [], [], seconds)[0])


class NoKeyboard:
    """For a terminal that is only looked at: there is never a key."""

    def __init__(self) -> None:
        self._never = threading.Event()

    def wait(self, seconds: float) -> str | None:
        """See `Keys.wait`."""
        self._never.wait(seconds)
        return None


@contextmanager
def keys() -> Iterator[Keys]:
    """The keyboard while it lasts, or none when the input is no terminal. The terminal is left as
    it was.
    """
    if not sys.stdin.isatty():
        yield NoKeyboard()
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

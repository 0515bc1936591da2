"""The keys that are pressed while a replay is shown; waiting for one also paces it."""

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
"""Most bytes of one key after an escape: an arrow sends three in all."""
HANG_UP = "\x04"
"""The key that a closed terminal counts as."""


class Keys(Protocol):
    """Where keys come from."""

    def wait(self, seconds: float) -> str | None:
        """The next key, or None when none was pressed within so many seconds."""


class Keyboard:
    """The keys of the terminal, without echo."""

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
    """No keys, where the input is not a terminal."""

    def __init__(self) -> None:
        self._never = threading.Event()

    def wait(self, seconds: float) -> str | None:
        """See `Keys.wait`."""
        self._never.wait(seconds)
        return None


@contextmanager
def keys() -> Iterator[Keys]:
    """The keyboard, or none when the input is not a terminal. Restores the terminal at the end."""
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

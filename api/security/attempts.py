"""The limit on invalid tokens from one client address."""

from __future__ import annotations

from collections import OrderedDict

from api.refusals import TooManyAttempts
from ledger.clock import Clock

MAX_ATTEMPTS = 20
WINDOW_SECONDS = 60.0
MAX_ADDRESSES = 10_000
"""Addresses remembered; beyond it, the address that failed longest ago is forgotten."""


class Attempts:
    """Counts invalid tokens per client address in a minute. A valid token is never refused."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def failed(self, address: str) -> None:
        """Count an invalid token. Refuses TooManyAttempts above MAX_ATTEMPTS in WINDOW_SECONDS."""
        now = self._clock.elapsed()
        began, count = self._failures.pop(address, (now, 0))
        if now - began >= WINDOW_SECONDS:
            began, count = now, 0
        self._failures[address] = (began, count + 1)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        if count >= MAX_ATTEMPTS:
            raise TooManyAttempts

"""How much may come in: bytes of a body, and wrong secrets from one address."""

from __future__ import annotations

from collections import OrderedDict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import TooManyAttempts, refused
from ledger.clock import Clock
from ledger.errors import TooLarge

MAX_BODY_BYTES = 256 * 1024
MAX_ATTEMPTS = 20
WINDOW_SECONDS = 60.0
MAX_ADDRESSES = 10_000
"""Addresses remembered; with more, the one that failed longest ago is forgotten."""


class BodyLimit:
    """Counts a body as it streams in, however its length was announced, and stops at the limit.

    Whoever reads the body meets TooLarge; nothing beyond the limit is ever held in memory.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > MAX_BODY_BYTES:
            refusal = TooLarge("The body", MAX_BODY_BYTES)
            await refused(refusal, scope["path"])(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_BODY_BYTES:
                raise TooLarge("The body", MAX_BODY_BYTES)
            return message

        await self._app(scope, counted, send)


def _announced(scope: Scope) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"")
    return int(length) if length.isdigit() and len(length) < 19 else 0


class Attempts:
    """Wrong secrets per client address within a minute. A right one is never turned away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def failed(self, address: str) -> None:
        """Count a wrong secret; TooManyAttempts once the minute's share is used up."""
        now = self._clock.elapsed()
        began, count = self._failures.pop(address, (now, 0))
        if now - began >= WINDOW_SECONDS:
            began, count = now, 0
        self._failures[address] = (began, count + 1)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        if count >= MAX_ATTEMPTS:
            raise TooManyAttempts

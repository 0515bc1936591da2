"""The limit on the size of a request body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import refused
from ledger.errors import TooLarge

MAX_BODY_BYTES = 256 * 1024


class BodyLimit:
    """Counts a body as it streams in, whatever length was announced, and stops at the limit.

    Reading a longer body raises TooLarge; nothing beyond the limit is held in memory.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > MAX_BODY_BYTES:
            refusal = TooLarge("The body", MAX_BODY_BYTES)
            await refused(scope, refusal)(scope, receive, send)
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

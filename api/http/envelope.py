"""The outermost middleware: correlation ids, security headers, and answers to unexpected errors."""

from __future__ import annotations

import logging
import re

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import problem
from ledger.chance import new_id

CORRELATION_HEADERS = ("x-request-id", "x-correlation-id")
CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Set on every answer that does not set them itself."""
_SENT = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

log = logging.getLogger(__name__)


class Envelope:
    """Gives each request a correlation id, which `request.state`, events and logs have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = correlation_of(Headers(scope=scope))
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        has_started = False

        async def with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                _add_headers(message["headers"], correlation_id)
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception:  # any bug in a route: answer and log it
            log.exception("request %s failed", correlation_id)
            if has_started:
                raise
            await _internal_error(scope, correlation_id)(scope, receive, with_headers)


def correlation_of(headers: Headers) -> str:
    """The id that the caller sent, if it is valid, else a new one."""
    for name in CORRELATION_HEADERS:
        if CORRELATION_ID.fullmatch(headers.get(name, "")):
            return headers[name]
    return new_id().hex


def _add_headers(headers: list[tuple[bytes, bytes]], correlation_id: str) -> None:
    given = {name for name, _ in headers}
    headers.append((b"x-request-id", correlation_id.encode()))
    headers.extend(header for header in _SENT if header[0] not in given)


def _internal_error(scope: Scope, correlation_id: str) -> Response:
    return problem(
        scope,
        500,
        "internal_error",
        f"The server failed unexpectedly; see its log for request {correlation_id}.",
        {"correlation_id": correlation_id},
    )

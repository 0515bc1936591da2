"""The API without a server: the same application, asked in this process."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from hmac import compare_digest

import httpx

from api.app import create_app
from api.bootstrap import ServerParts, open_server_parts
from api.cli.connection.client import ApiClient
from api.cli.connection.credentials import kept_token
from api.cli.output.progress import busy
from api.security.dsn_policy import require_encrypted_dsn
from api.security.sessions import Sessions
from api.settings import Settings
from ledger.application.ledger import Ledger, Limits
from ledger.application.tokens import Tokens, new_secret
from ledger.dispatch.executors.registry import ExecutorSettings
from ledger.dispatch.executors.secrets import NO_SECRETS
from ledger.dispatch.executors.signing import Signer
from ledger.errors import StartRefused
from ledger.store.records import TokenRow
from projections.queries import Queries
from projections.read_models import ReadModels

URL = "http://jobledger.local"
PATIENCE_SECONDS = 24 * 3600.0
"""How long one command waits for the copies of its own folder: until they are made, however long
the book. Commands that ask the book itself need none.
"""
KEYHOLDER = TokenRow("", "folder", "admin", "user", b"", None, None)
"""Who acts when no token is at hand that opens: whoever may write the files may everything."""


def open_owned(settings: Settings) -> ApiClient:
    """A door into the folder, owned until the door is closed. Nothing is dispatched.

    Raises StartRefused.
    """
    with ExitStack() as closing:
        # One command is no service: it makes no spans, and waits for no collector.
        parts = open_server_parts(replace(settings, collector=None), dispatches=False)
        closing.callback(parts.close)
        parts.read_models.wait_seconds = PATIENCE_SECONDS
        parts.read_models.starts_when_needed = True
        parts.start()
        return _client(parts, settings, closing.pop_all(), is_alone=True)


def open_joined(settings: Settings) -> ApiClient:
    """A door into the ledger on PostgreSQL, as one of its nodes. Nothing is dispatched, and nothing
    of the data folder is needed. Raises StartRefused.
    """
    address = settings.address
    if address is None:
        raise StartRefused("There is no PostgreSQL to join: JOBLEDGER_DSN names none.")
    require_encrypted_dsn(address)
    limits = Limits(max_jobs=settings.max_jobs, requires_reason=settings.require_reason)
    with ExitStack() as closing:
        ledger = Ledger.open(address, limits=limits)
        closing.callback(ledger.close)
        parts = _visitors_parts(ledger, ReadModels.open(ledger))
        closing.callback(parts.close)
        parts.start()
        return _client(parts, settings, closing.pop_all())


def open_reading(settings: Settings) -> ApiClient:
    """A door into a folder that another process owns: its questions are answered, commands are
    refused.
    """
    with ExitStack() as closing:
        ledger = closing.enter_context(Ledger.open_read_only(settings.data))
        parts = _visitors_parts(ledger, ReadModels.open_current(ledger))
        closing.callback(parts.close)
        return _client(parts, settings, closing.pop_all())


def _visitors_parts(ledger: Ledger, read_models: ReadModels) -> ServerParts:
    """The parts of a process that dispatches nothing and signs nothing that others would check."""
    signer = Signer(ExecutorSettings.of_this_process().signing_secret)
    clock, tokens = ledger.clock, Tokens(ledger)
    return ServerParts(
        ledger,
        read_models,
        None,
        tokens,
        Sessions(clock),
        Queries(ledger, read_models),
        signer,
        NO_SECRETS,
    )


def _client(
    parts: ServerParts, settings: Settings, closing: ExitStack, *, is_alone: bool = False
) -> ApiClient:
    ring = LocalTokens(parts.ledger)
    parts.tokens = ring
    token = settings.token or ring.usable(kept_token(settings))
    return ApiClient(URL, token, InProcessTransport(parts, settings, closing), is_alone=is_alone)


class InProcessTransport(httpx.BaseTransport):
    """Carries requests to the application in this process, and closes everything after the last."""

    def __init__(self, parts: ServerParts, settings: Settings, closing: ExitStack) -> None:
        self._parts = parts
        self._closing = closing
        self._loop = asyncio.Runner()
        self._application = httpx.ASGITransport(create_app(parts, settings))
        closing.callback(self._loop.close)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._parts.read_models.position >= self._parts.ledger.writer.position:
            return self._loop.run(self._answer(request))
        with busy("Bringing the copies up to date"):
            return self._loop.run(self._answer(request))

    def close(self) -> None:
        self._closing.close()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._application.handle_async_request(request)
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content)


class LocalTokens(Tokens):
    """The ledger's tokens, and one more that only this process knows and that is never kept."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._own = new_secret()

    def usable(self, token: str | None) -> str:
        """The token, if it opens anything, else our own."""
        is_known = token is not None and self.authenticate(token, self._ledger.clock.now())
        return token if token is not None and is_known else self._own

    def authenticate(self, secret: str, now: datetime) -> TokenRow | None:
        if compare_digest(secret.encode(), self._own.encode()):
            return KEYHOLDER
        return super().authenticate(secret, now)

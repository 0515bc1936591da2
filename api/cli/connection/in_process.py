"""The API without a server: the same application, called in this process."""

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
from api.cli.connection.credentials import stored_token
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
CATCH_UP_SECONDS = 24 * 3600.0
"""How long a command waits until the read models of its folder are up to date. Those of a long
ledger take minutes to build; commands that read only events do not wait.
"""
FOLDER_ADMIN = TokenRow("", "folder", "admin", "user", b"", None, None)
"""The actor when there is no valid token: a user who may write the files may do everything."""


def open_owned(settings: Settings) -> ApiClient:
    """A client of the folder, which this process owns until the client is closed. Nothing is
    dispatched. Raises StartRefused.
    """
    with ExitStack() as closing:
        # One command makes no spans, and must not wait for a collector.
        parts = open_server_parts(replace(settings, collector=None), dispatches=False)
        closing.callback(parts.close)
        parts.read_models.wait_seconds = CATCH_UP_SECONDS
        parts.read_models.starts_when_needed = True
        parts.start()
        return _client(parts, settings, closing.pop_all(), is_alone=True)


def open_shared(settings: Settings) -> ApiClient:
    """A client of the ledger on PostgreSQL, as one more of its nodes. Nothing is dispatched, and
    the data folder is not needed. Raises StartRefused.
    """
    address = settings.address
    if address is None:
        raise StartRefused("JOBLEDGER_DSN does not name a PostgreSQL database.")
    require_encrypted_dsn(address)
    limits = Limits(max_jobs=settings.max_jobs, requires_reason=settings.require_reason)
    with ExitStack() as closing:
        ledger = Ledger.open(address, limits=limits)
        closing.callback(ledger.close)
        parts = _parts_without_dispatcher(ledger, ReadModels.open(ledger))
        closing.callback(parts.close)
        parts.start()
        return _client(parts, settings, closing.pop_all())


def open_read_only(settings: Settings) -> ApiClient:
    """A client of a folder that another process owns: questions are answered, commands refused."""
    with ExitStack() as closing:
        ledger = closing.enter_context(Ledger.open_read_only(settings.data))
        parts = _parts_without_dispatcher(ledger, ReadModels.open_current(ledger))
        closing.callback(parts.close)
        return _client(parts, settings, closing.pop_all())


def _parts_without_dispatcher(ledger: Ledger, read_models: ReadModels) -> ServerParts:
    """The parts of a process that dispatches nothing; its signatures need not be verified later."""
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
    tokens = LocalTokens(parts.ledger)
    parts.tokens = tokens
    token = settings.token or tokens.usable(stored_token(settings))
    return ApiClient(URL, token, InProcessTransport(parts, settings, closing), is_alone=is_alone)


class InProcessTransport(httpx.BaseTransport):
    """Passes requests to the application in this process; `close` closes that too."""

    def __init__(self, parts: ServerParts, settings: Settings, closing: ExitStack) -> None:
        self._parts = parts
        self._closing = closing
        self._loop = asyncio.Runner()
        self._application = httpx.ASGITransport(create_app(parts, settings))
        closing.callback(self._loop.close)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._parts.read_models.position >= self._parts.ledger.writer.position:
            return self._loop.run(self._answer(request))
        with busy("Updating the read models"):
            return self._loop.run(self._answer(request))

    def close(self) -> None:
        self._closing.close()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._application.handle_async_request(request)
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content)


class LocalTokens(Tokens):
    """The ledger's tokens, and one more that only this process knows and never stores."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._own = new_secret()

    def usable(self, token: str | None) -> str:
        """The token if it is valid, else our own."""
        is_known = token is not None and self.authenticate(token, self._ledger.clock.now())
        return token if token is not None and is_known else self._own

    def authenticate(self, secret: str, now: datetime) -> TokenRow | None:
        if compare_digest(secret.encode(), self._own.encode()):
            return FOLDER_ADMIN
        return super().authenticate(secret, now)

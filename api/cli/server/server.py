"""A server process: a socket, the application, and a graceful stop."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import APIRouter

from api.app import ROUTERS, create_app
from api.bootstrap import ADMIN, ServerParts
from api.settings import Settings
from api.stream.tail import Tail
from ledger.errors import StartRefused

SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 2048
FINISH_SECONDS = 10
"""How long open requests may take once the server stops."""
KEEP_ALIVE_SECONDS = 30


@contextmanager
def on_first_signal(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` at the first signal to stop; the second one kills the process, which the ledger
    survives.
    """

    def handle(_signal: int, _frame: FrameType | None) -> None:
        for name in SIGNALS:
            signal.signal(name, signal.SIG_DFL)
        act()

    before = {name: signal.signal(name, handle) for name in SIGNALS}
    try:
        yield
    finally:
        for name, handler in before.items():
            if signal.getsignal(name) is handle:
                signal.signal(name, handler)


class Server(uvicorn.Server):
    """uvicorn, stopped gracefully by the first signal and at once by the second."""

    def __init__(self, config: uvicorn.Config, tail: Tail) -> None:
        super().__init__(config)
        self._tail = tail

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the process then exits with 0, because it stopped as requested."""
        with on_first_signal(self._request_exit):
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but ends streams first, because they do not end by themselves."""
        self._tail.close()
        await super().shutdown(sockets)

    def _request_exit(self) -> None:
        self.should_exit = True


def serve_until_stopped(
    parts: ServerParts,
    settings: Settings,
    listener: socket.socket,
    routers: Sequence[APIRouter] = ROUTERS,
) -> None:
    """Serve on `listener` until a signal; then accept no more requests, let runs end, and close the
    ledger and its read models, which the application's lifespan does. Raises StartRefused.
    """
    app = create_app(parts, settings, routers)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=FINISH_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    try:
        Server(config, app.state.tail).run(sockets=[listener])
    except (
        SystemExit
    ):  # from uvicorn when the application did not start; its code differs from ours
        raise StartRefused("The application did not start; the log above says why.") from None


def bind(settings: Settings) -> socket.socket:
    """A listening socket on the host and port of the settings. Raises StartRefused."""
    where = f"{settings.host} port {settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise StartRefused(
            f"Cannot listen on {where}: {error.strerror}. Choose another port with --port."
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL of the listener on this machine."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared only
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def login_link(parts: ServerParts, url: str) -> str | None:
    """A link that logs in once as an admin; None when there is no valid admin token."""
    now = parts.ledger.clock.now()
    admins = [
        token
        for token in parts.tokens.listing()
        if token.role == "admin" and parts.tokens.alive(token.id, now) is not None
    ]
    chosen = next((token for token in admins if token.name == ADMIN), None)
    return f"{url}/login?code={parts.sessions.new_code(chosen)}" if chosen is not None else None


def publish_url(parts: ServerParts, url: str) -> None:
    """Write the URL into the folder's lock file, where commands on this machine find it."""
    if parts.ledger.lock is not None:
        parts.ledger.lock.describe({"pid": os.getpid(), "url": url})

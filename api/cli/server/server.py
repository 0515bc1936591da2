"""A server process: a socket, the application, and an end that loses nothing."""

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
"""How long requests under way may take once the server was asked to stop."""
KEEP_ALIVE_SECONDS = 30


@contextmanager
def on_first_signal(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` at the first signal to end; the second one ends the process on the spot, which the
    ledger survives.
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
    """uvicorn, whose first signal asks it to end in good order and whose second one ends it now."""

    def __init__(self, config: uvicorn.Config, tail: Tail) -> None:
        super().__init__(config)
        self._tail = tail

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the process then ends with 0: it did what it was asked."""
        with on_first_signal(self._ask_to_end):
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but streams, which have no end of their own, are ended first."""
        self._tail.close()
        await super().shutdown(sockets)

    def _ask_to_end(self) -> None:
        self.should_exit = True


def serve_until_asked(
    parts: ServerParts,
    settings: Settings,
    listener: socket.socket,
    routers: Sequence[APIRouter] = ROUTERS,
) -> None:
    """Answer on `listener` until a signal; then accept nothing more, let runs end, close the copies
    and the ledger (the application's lifespan does that).
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
    ):  # uvicorn's end when the application does not start; its code means else here
        raise StartRefused("The application did not start; the log above says why.") from None


def bind(settings: Settings) -> socket.socket:
    """A listening socket on the host and port of the settings; StartRefused, in one line."""
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
            f"Nothing can listen on {where}: {error.strerror}. Choose another with --port."
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Where people and commands on this machine reach the listener."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared only
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def login_link(parts: ServerParts, url: str) -> str | None:
    """A link that logs in once as the admin; None when the admin's token is gone."""
    now = parts.ledger.clock.now()
    admins = [
        token
        for token in parts.tokens.listing()
        if token.role == "admin" and parts.tokens.alive(token.id, now) is not None
    ]
    chosen = next((token for token in admins if token.name == ADMIN), None)
    return f"{url}/login?code={parts.sessions.new_code(chosen)}" if chosen is not None else None


def leave_note(parts: ServerParts, url: str) -> None:
    """Tell commands on this machine where the owner of the folder answers."""
    if parts.ledger.lock is not None:
        parts.ledger.lock.describe({"pid": os.getpid(), "url": url})

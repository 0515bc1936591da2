"""A connection to a server that can be cut: a TCP proxy on 127.0.0.1 that ends or stalls
connections, and loses answers. It knows no protocol.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import ParamSpec
from urllib.parse import urlsplit

P = ParamSpec("P")

HERE = "127.0.0.1"
CHUNK_BYTES = 65_536
MAX_LINKS = 256
"""Connections at a time; one more is ended at once."""
JOIN_SECONDS = 10.0
COMMITTED = b"COMMIT\x00Z"
"""In PostgreSQL's answer to a COMMIT: its tag, and the message that the session is ready again."""


class Road(Enum):
    """What the proxy does with bytes and new connections."""

    OPEN = auto()
    ENDS = auto()
    """Connections are closed, old and new: the server's process is gone, or a firewall refuses."""
    STALLS = auto()
    """Nothing arrives, without an error: a cable is out. What was sent arrives after `heal`."""


class Link:
    """One connection through the proxy: its two sockets."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server

    def end(self) -> None:
        """Close both sides, which wakes their readers."""
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """In front of the port of a server, from `start` to `close`."""

    def __init__(self, target_port: int) -> None:
        self.dropped_count = 0
        """How many answers were lost by `drop_nth_answer`."""
        self._target_port = target_port
        self._changed = threading.Condition()
        self._road = Road.OPEN
        self._is_closed = False
        self._until_drop = 0
        self._holding = b""
        self._links: set[Link] = set()
        self._threads: set[threading.Thread] = set()
        self._entrance = socket.create_server((HERE, 0))
        self.port: int = self._entrance.getsockname()[1]

    def leading_to(self, dsn: str) -> str:
        """The connection string with this proxy's address instead of the server's."""
        parts = urlsplit(dsn)
        who = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{who}@{HERE}:{self.port}").geturl()

    def start(self) -> None:
        """Accept connections."""
        self._spawn(self._accept)

    def cut(self, *, stalls: bool = False) -> None:
        """Close all connections, and every new one, or let them stall, until `heal`."""
        with self._changed:
            self._road = Road.STALLS if stalls else Road.ENDS
            self._changed.notify_all()
            links = [] if stalls else list(self._links)
        for link in links:
            link.end()

    def heal(self) -> None:
        """Forward everything again."""
        with self._changed:
            self._road = Road.OPEN
            self._changed.notify_all()

    def drop_nth_answer(self, number: int, *, holding: bytes = b"") -> None:
        """Lose the nth answer from now (1: the next), counted over all connections, and end its
        connection. An answer is what is read from the server at once; with `holding` only those
        that contain these bytes count. Zero: lose none.
        """
        with self._changed:
            self._until_drop = number
            self._holding = holding

    @property
    def is_armed(self) -> bool:
        """Whether an answer is still to be lost."""
        return self._until_drop > 0

    def close(self) -> None:
        """Close everything."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            links, threads = list(self._links), list(self._threads)
        with suppress(OSError):
            self._entrance.shutdown(socket.SHUT_RDWR)
        self._entrance.close()
        for link in links:
            link.end()
        for thread in threads:
            thread.join(JOIN_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._entrance.accept()
            except OSError:
                return
            if self._is_closed or self._road is Road.ENDS or len(self._links) >= MAX_LINKS:
                client.close()
                continue
            self._spawn(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        """Forward what comes from a client, in this thread, and its answers, in another."""
        if not self._is_passable():
            client.close()
            return
        try:
            server = socket.create_connection((HERE, self._target_port))
        except OSError:
            client.close()
            return
        link = Link(client, server)
        with self._changed:
            self._links.add(link)
            is_late = self._is_closed or self._road is Road.ENDS
        if is_late:
            link.end()
        answers = self._spawn(self._carry_answers, link)
        self._carry(link, client, server)
        answers.join()
        with self._changed:
            self._links.discard(link)
        client.close()
        server.close()

    def _carry_answers(self, link: Link) -> None:
        self._carry(link, link.server, link.client)

    def _carry(self, link: Link, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                is_lost = source is link.server and self._is_to_be_lost(data)
                if is_lost or not self._is_passable():
                    break
                sink.sendall(data)
        link.end()

    def _is_passable(self) -> bool:
        """Whether bytes may be forwarded; waits while everything stalls."""
        with self._changed:
            self._changed.wait_for(lambda: self._road is not Road.STALLS or self._is_closed)
            return self._road is Road.OPEN and not self._is_closed

    def _is_to_be_lost(self, answer: bytes) -> bool:
        with self._changed:
            if not self._until_drop or self._holding not in answer:
                return False
            self._until_drop -= 1
            if self._until_drop:
                return False
            self.dropped_count += 1
            return True

    def _spawn(self, carry: Callable[P, None], *what: P.args, **how: P.kwargs) -> threading.Thread:
        def run() -> None:
            try:
                carry(*what, **how)
            finally:
                with self._changed:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name="proxy", daemon=True)
        with self._changed:
            self._threads.add(thread)
            thread.start()
        return thread


@contextmanager
def a_proxy(target_port: int) -> Iterator[Proxy]:
    """A proxy in front of a port of this machine, started, and closed afterwards."""
    proxy = Proxy(target_port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()

"""A local HTTP provider that the jobs depend on; it can start to rate-limit them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

LARGEST_BODY = 64 * 1024
REQUEST_SECONDS = 10
BACKLOG = 64


class Provider(ThreadingHTTPServer):
    """Answers 200, or 429 while `is_limiting` is set. Counts its answers."""

    daemon_threads = True
    request_queue_size = BACKLOG

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.is_limiting = Event()
        self.answered: dict[int, int] = {}
        self._counting = Lock()

    @property
    def url(self) -> str:
        """Where jobs post their task."""
        return f"http://127.0.0.1:{self.server_port}/v1/complete"

    def count(self, status: int) -> None:
        """Count one answer."""
        with self._counting:
            self.answered[status] = self.answered.get(status, 0) + 1


class Answering(BaseHTTPRequestHandler):
    """One request to the provider."""

    server: Provider
    timeout = REQUEST_SECONDS

    def do_POST(self) -> None:
        """Read the task, and answer 200 or 429."""
        self.rfile.read(min(int(self.headers.get("Content-Length", 0)), LARGEST_BODY))
        is_limiting = self.server.is_limiting.is_set()
        status, text = (429, "rate limit exceeded") if is_limiting else (200, "done")
        self.server.count(status)
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def a_provider() -> Iterator[Provider]:
    """A provider that listens while the context lasts."""
    with Provider() as provider:
        thread = Thread(target=provider.serve_forever, name="provider", daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()

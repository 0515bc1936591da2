"""A server on this machine that plays Slack's API and an apprise JSON target, and records its
messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

OK = {"ok": True, "channel": "C1", "ts": "1", "message": {}}


class Slack(ThreadingHTTPServer):
    """`answer` is the answer to every message; `said` are the messages, in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, dict[str, Any]] = (200, OK)
        self.said: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def api_url(self) -> str:
        return f"http://{self.address}/api"

    @property
    def json_url(self) -> str:
        """Another channel on the same server, as apprise writes it."""
        return f"json://{self.address}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        slack = cast(Slack, self.server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked_by = self.headers.get("Authorization", "")
        slack.said.append({"path": self.path, "authorization": asked_by, "body": body})
        status, answer = slack.answer if self.path.startswith("/api") else (200, OK)
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def a_slack() -> Iterator[Slack]:
    with Slack() as slack:
        thread = Thread(target=slack.serve_forever)
        thread.start()
        try:
            yield slack
        finally:
            slack.shutdown()
            thread.join()

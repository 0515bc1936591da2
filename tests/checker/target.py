"""A target that writes a log of its own, synced before it answers: what was really executed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event

from ledger.clock import SystemClock
from tests.checker.matching import Entry


class Log:
    """Lines on the disk, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def note(self, what: str, run_id: str) -> None:
        """Write one line; it is on disk when this returns."""
        line = {"what": what, "run_id": run_id, "at": SystemClock().now().isoformat()}
        with self._lock:
            self._file.write(json.dumps(line).encode() + b"\n")
            os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def entries(self) -> list[Entry]:
        """Everything that was logged."""
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [
            Entry(one["what"], one["run_id"], datetime.fromisoformat(one["at"]).astimezone(UTC))
            for one in lines
        ]


def worked_seconds(run_id: str) -> float:
    """Up to three seconds, so that cuts find runs under way."""
    return int(run_id[:2], 16) / 85


@contextmanager
def a_target(log: Log) -> Iterator[str]:
    """The address of a target that logs every run's start and end."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            log.note("start", body["run_id"])
            Event().wait(worked_seconds(body["run_id"]))
            log.note("end", body["run_id"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """The log is ours."""

    class Target(ThreadingHTTPServer):
        request_queue_size = 512

    server = Target(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/run"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

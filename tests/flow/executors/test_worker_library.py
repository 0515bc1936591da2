"""The Python worker beside a server with scripted answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import cast

import pytest

from api.worker import Worker, WorkerRefused
from ledger.clock import SystemClock
from ledger.dispatch.executors.outcomes import RunTicket
from ledger.dispatch.executors.python import PythonExecutor

RUN = {
    "run": {
        "run_id": "one",
        "scheduled_for": "2026-03-02T12:00:00Z",
        "attempt": 1,
        "fence": 2,
        "timeout_seconds": 60,
    },
    "job": {"id": "job", "name": "render", "task": "a cat"},
    "token": "jlr_one",
}
CLAIMED = (200, json.dumps(RUN))


class Playing(ThreadingHTTPServer):
    """Answers claims as scripted, one after the other, and accepts every report."""

    def __init__(self, claims: list[tuple[int, str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Play)
        self.claims = claims
        self.reports: list[str] = []


class _Play(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast(Playing, self.server)
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = 200, "{}"
        if self.path.endswith("/claim"):
            status, body = server.claims.pop(0)
        else:
            server.reports.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def playing(*claims: tuple[int, str]) -> Iterator[Playing]:
    with Playing(list(claims)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def work(server: Playing) -> list[str]:
    """Work until the first run is done; the tasks that were executed."""
    done: list[str] = []

    async def until_done() -> None:
        worker = Worker(f"http://127.0.0.1:{server.server_address[1]}", "jl_x", queue="gpu")

        async def handler(ticket: RunTicket) -> None:
            done.append(ticket.task)
            worker.stop()

        executor = PythonExecutor({"handler": handler}, clock=SystemClock())
        await worker.serve(executor, {"kind": "python", "handler": "handler"})

    asyncio.run(until_done())
    return done


@pytest.mark.parametrize(
    "trouble",
    [(429, "{}"), (408, ""), (503, "<html>"), (200, "<html>"), (200, "[]"), (200, "{}")],
    ids=str,
)
def test_a_worker_survives_the_errors_of_a_proxy_or_a_busy_server(trouble: tuple[int, str]) -> None:
    with playing(trouble, CLAIMED) as server:
        assert work(server) == ["a cat"]

    assert server.reports == ["/v1/runs/one/succeed"]


@pytest.mark.parametrize("status", [401, 403, 422])
def test_a_refused_worker_reports_the_refusal_and_ends(status: int) -> None:
    with playing((status, '{"detail": "no"}')) as server, pytest.raises(WorkerRefused, match="no"):
        work(server)

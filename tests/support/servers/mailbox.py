"""A server on this machine that records what it is sent: the target of a run, the collector of
spans, or what a command takes for a jobledger server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

LIMIT_SECONDS = 60.0
"""A hang fails by this; nothing is measured by it."""
POLL_SECONDS = 0.01
"""How often the server looks whether it is to stop."""


@dataclass(frozen=True)
class Letter:
    path: str
    headers: dict[str, str]
    body: bytes


class Mailbox(ThreadingHTTPServer):
    """Answers with `status` and `answer` once it may, or as `reply` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.letters: list[Letter] = []
        self.status = 200
        self.answer = b""
        self.reply: Callable[[Letter], tuple[int, bytes]] = lambda _: (self.status, self.answer)
        self.answered_count = 0
        self.has_come, self.may_answer = Event(), Event()
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Span]:
        """Every span that arrived by OTLP, in any order."""
        bodies = [one.body for one in self.letters if one.path == "/v1/traces"]
        requests = map(ExportTraceServiceRequest.FromString, bodies)
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def service(self) -> str:
        """The service name of the sender of the first spans."""
        first = ExportTraceServiceRequest.FromString(self.letters[0].body)
        found = {one.key: one.value for one in first.resource_spans[0].resource.attributes}
        return str(found["service.name"].string_value)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        box = cast(Mailbox, self.server)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        letter = Letter(self.path, headers, body)
        box.letters.append(letter)
        box.has_come.set()
        box.may_answer.wait(LIMIT_SECONDS)
        status, answer = box.reply(letter)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        box.answered_count += 1

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def a_mailbox() -> Iterator[Mailbox]:
    with Mailbox() as box:
        thread = Thread(target=box.serve_forever, args=(POLL_SECONDS,))
        thread.start()
        try:
            yield box
        finally:
            box.may_answer.set()
            box.shutdown()
            thread.join()


def attributes(span: Span) -> dict[str, object]:
    """The attributes of a span, in plain values."""
    kinds = ("string_value", "bool_value", "int_value", "double_value")
    return {
        one.key: getattr(one.value, next(kind for kind in kinds if one.value.HasField(kind)))
        for one in span.attributes
    }

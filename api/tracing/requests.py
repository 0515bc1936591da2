"""Middleware that makes a span of each command, from its request to the end of its answer."""

from __future__ import annotations

import re
from typing import Any

import orjson
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.tracing.spans import Spans, propagator

COMMANDS = frozenset({"POST", "PATCH", "DELETE"})
CARRIED = ("traceparent", "tracestate")
RUN_REQUESTS = re.compile(r"/(?:v1/jobs|ui/api/scheduler)/([0-9a-f-]{36})/(?:run|resume)")
"""Paths that request a run."""
PROBLEM = "application/problem+json"
JOB_PATH = re.compile(r"/v1/jobs/([0-9a-f-]{36})")
"""The location of a new job."""


class CommandSpans:
    """Continues the trace that the request names."""

    def __init__(self, app: ASGIApp, spans: Spans) -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in COMMANDS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        carrier = {name: headers[name] for name in CARRIED if name in headers}
        with self._spans.tracer.start_as_current_span(
            scope["method"],
            propagator.extract(carrier, Context()),
            SpanKind.SERVER,
            record_exception=False,  # the text of an exception may hold a secret
        ) as span:
            await self._answer(scope, receive, send, span)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, span: Span) -> None:
        requested = RUN_REQUESTS.fullmatch(scope["path"])
        if requested is not None:
            self._spans.request_run(requested[1], span.get_span_context())
        answer = _ObservedAnswer(send)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            if requested is not None and not answer.is_success:
                self._spans.forget_request(requested[1])
            _describe(span, scope, answer)


class _ObservedAnswer:
    """Passes an answer on, and remembers its status, location and refusal code."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500
        self.location = ""
        self.code: str | None = None
        self._is_problem = False

    @property
    def is_success(self) -> bool:
        return self.status < 400

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            self.status = message["status"]
            self.location = headers.get("location", "")
            self._is_problem = headers.get("content-type") == PROBLEM
        elif self._is_problem and self.code is None:
            self.code = orjson.loads(message["body"])["code"]
        await self._send(message)


def _describe(span: Span, scope: Scope, answer: _ObservedAnswer) -> None:
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        span.update_name(f"{scope['method']} {route}")
    path: dict[str, Any] = scope.get("path_params", {})
    created = JOB_PATH.fullmatch(answer.location)
    attributes = {
        "http.request.method": scope["method"],
        "http.route": route,
        "http.response.status_code": answer.status,
        "jobledger.code": answer.code,
        "jobledger.job_id": path.get("job_id") or (created[1] if created else None),
        "jobledger.run_id": path.get("run_id"),
        "jobledger.correlation_id": scope.get("state", {}).get("correlation_id"),
    }
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    if answer.status >= 500:
        span.set_status(Status(StatusCode.ERROR, answer.code))

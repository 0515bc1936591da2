"""Runs a job by a signed POST to an HTTP target and reads its answer within hard limits.

Signed as in Standard Webhooks (https://www.standardwebhooks.com), id = run id, so a target can
recognize a repeat. httpcore is used directly: it has no redirects, cookies, proxies, environment or
decompression that would have to be switched off.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

import httpcore

from ledger.clock import Clock, rfc3339
from ledger.dispatch.executors.addresses import Guard, GuardedNetwork, TargetRefused
from ledger.dispatch.executors.outcomes import Blocked, Deferred, Outcome, RunTicket
from ledger.dispatch.executors.output import ERROR_BYTES, Output
from ledger.dispatch.executors.secrets import MARGIN
from ledger.dispatch.executors.signing import RunToken, Signer
from ledger.domain.event_context import Actor
from ledger.domain.job.executor_spec import parse_executor
from ledger.domain.job.failures import (
    ERROR_PREFIX,
    class_of_status,
    class_of_text,
    parse_retry_after,
)
from ledger.domain.job.outcomes import Failure
from ledger.domain.job.urls import WebUrl, parse_url
from ledger.errors import Refused

ANSWER_BYTES = 1024 * 1024
"""Counting, hashing and reading of an answer end here and the connection is closed. The run still
succeeded, with `output_bytes` equal to this limit: an endless answer must not block a run, and a
long one is not a failure.
"""

TRACEPARENT = "traceparent"
"""The header of W3C Trace Context."""

RUN_TOKEN_HEADER = "Jobledger-Run-Token"  # noqa: S105 - its name, not a secret

REFUSAL_BYTES = ERROR_BYTES + MARGIN
"""How much of an error response is read, so that no secret is cut in half."""

CONNECTIONS = 1024
"""The most connections at once; the dispatcher's own limit is far below."""

_ACCEPTED = 202
_NETWORK_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,
)


class HttpExecutor:
    """Posts runs. Every run has its own connection, made to an address that was checked for it."""

    kind: ClassVar[str] = "http"
    is_instant: ClassVar[bool] = False

    def __init__(
        self,
        signer: Signer,
        guard: Guard,
        *,
        clock: Clock,
        network: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`network` and `tls` are for private networks and authorities; the defaults are the
        system's and certifi's.
        """
        self._signer = signer
        self._network = GuardedNetwork(guard, network or httpcore.AnyIOBackend())
        self._clock = clock
        self._tls = tls
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def execute(self, ticket: RunTicket) -> Outcome:
        """Post the run and read the answer: see the module. Raises nothing but CancelledError."""
        try:
            executor = parse_executor(ticket.executor or {}, only=self.kind)
            url = parse_url(executor["url"], field="executor.url")
        except Refused as refusal:
            return Blocked(refusal.message)
        exchange = _Exchange(ticket, url, self._clock)
        try:
            async with asyncio.timeout(ticket.timeout_seconds):
                return await self._post(exchange, executor.get("headers", {}))
        except TargetRefused as refusal:
            return Blocked(str(refusal))
        except TimeoutError:
            return exchange.failed(
                f"{url.host} did not answer within {ticket.timeout_seconds:g} s",
                failure_class="timeout",
            )
        except _NETWORK_ERRORS as error:
            return exchange.failed(_error_text(url.host, error), failure_class=_class_of(error))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    async def _post(self, exchange: _Exchange, custom: Mapping[str, str]) -> Outcome:
        body = _body_of(exchange.ticket)
        headers = {
            **custom,
            **_own_headers(exchange, body),
            RUN_TOKEN_HEADER: self._run_token(exchange),
            **self._signer.headers(exchange.ticket.run_id, body=body, now=self._clock.now()),
        }
        if exchange.ticket.traceparent is not None:
            headers = {n: v for n, v in headers.items() if n.lower() != TRACEPARENT}
            headers[TRACEPARENT] = exchange.ticket.traceparent
        async with self._connections().stream(
            "POST",
            _wire_url(exchange.url),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=body.encode(),
        ) as response:
            return await exchange.answer(response)

    def _run_token(self, exchange: _Exchange) -> str:
        """Lets a target that answers 202 report later."""
        ticket, target = exchange.ticket, Actor(exchange.url.host, "worker")
        return self._signer.run_token(RunToken(ticket.run_id, UUID(ticket.job_id), target))

    def _connections(self) -> httpcore.AsyncConnectionPool:
        """Made at first use, inside the loop that runs it."""
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=self._tls or httpcore.default_ssl_context(),
                max_connections=CONNECTIONS,
                max_keepalive_connections=0,
                network_backend=self._network,
            )
        return self._pool


class _Exchange:
    """One run's request: reads the response and turns it into an outcome."""

    def __init__(self, ticket: RunTicket, url: WebUrl, clock: Clock) -> None:
        self.ticket = ticket
        self.url = url
        self._clock = clock
        self._started = clock.elapsed()

    async def answer(self, response: httpcore.Response) -> Outcome:
        """202 defers, any other 2xx succeeds unless its text reports an error, the rest fails."""
        if response.status == _ACCEPTED:
            return Deferred()
        is_success = 200 <= response.status < 300
        redact = self.ticket.redact
        output = (
            Output(limit_bytes=ANSWER_BYTES, redact=redact)
            if is_success
            else Output(limit_bytes=REFUSAL_BYTES, head_bytes=ERROR_BYTES, redact=redact)
        )
        async for chunk in response.aiter_stream():
            output.take(chunk)
            if output.is_full:
                break
        if not is_success:
            return self._refused(response, output.text)
        if output.text.startswith(ERROR_PREFIX):
            return self.failed(
                output.text, failure_class=class_of_text(output.text), response=response
            )
        return output.success(self._duration_ms())

    def _refused(self, response: httpcore.Response, text: str) -> Failure:
        if 300 <= response.status < 400:
            text = (
                "a redirect, and redirects are never followed: set the job's url to "
                "the final address"
            )
        error = f"HTTP {response.status}: {text}".rstrip(": \n")
        return self.failed(error, failure_class=class_of_status(response.status), response=response)

    def failed(
        self, error: str, *, failure_class: str, response: httpcore.Response | None = None
    ) -> Failure:
        """The run failed now; a response may ask for a pause before the next attempt."""
        return Failure(
            error=error,
            failure_class=failure_class,
            target=self.url.host,
            retry_after=parse_retry_after(_retry_after(response), now=self._clock.now()),
            duration_ms=self._duration_ms(),
        )

    def _duration_ms(self) -> int:
        return int((self._clock.elapsed() - self._started) * 1000)


def _body_of(ticket: RunTicket) -> str:
    """The run as JSON, ASCII only."""
    return json.dumps(
        {
            "run_id": ticket.run_id,
            "job_id": ticket.job_id,
            "name": ticket.name,
            "task": ticket.task,
            "scheduled_for": rfc3339(ticket.scheduled_for),
            "attempt": ticket.attempt,
            "fence": ticket.fence,
        }
    )


def _own_headers(exchange: _Exchange, body: str) -> dict[str, str]:
    return {
        "Host": exchange.url.authority,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Idempotency-Key": exchange.ticket.run_id,
    }


def _wire_url(url: WebUrl) -> httpcore.URL:
    return httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)


def _retry_after(response: httpcore.Response | None) -> str | None:
    for name, value in response.headers if response else ():
        if name.lower() == b"retry-after":
            return value.decode("ascii", errors="replace")
    return None


def _class_of(error: Exception) -> str:
    """A target that was reached and sent an invalid answer, or none, is itself at fault."""
    if isinstance(error, httpcore.TimeoutException):
        return "timeout"
    return "server_error" if isinstance(error, httpcore.RemoteProtocolError) else "unreachable"


def _error_text(host: str, error: BaseException) -> str:
    """The description of a network error, from its first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{host} could not be reached: {str(error) or type(error).__name__}"

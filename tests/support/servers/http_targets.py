"""Real servers on this machine for the HTTP executor to talk to, and a run to send them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ledger.clock import SystemClock
from ledger.dispatch.executors.addresses import AllowList, Guard, Resolver, system_resolver
from ledger.dispatch.executors.http import HttpExecutor
from ledger.dispatch.executors.outcomes import Outcome, RunTicket
from ledger.dispatch.executors.signing import Signer
from ledger.domain.job.outcomes import Failure, Success
from tests.support.run_tickets import PLENTY_SECONDS, a_run_ticket

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOCAL = AllowList.parse("127.0.0.1")


@dataclass
class Target:
    """A server on 127.0.0.1 that answers every connection in its own way and records what it was
    sent.
    """

    answer: Answer
    tls: ssl.SSLContext | None = None
    port: int = 0
    job_cache: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Target]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line[15:]) for line in head.splitlines() if line.startswith("Content-Length:")
            )
            self.job_cache.append(head)
            self.bodies.append(await reader.readexactly(length))
            await self.answer(reader, writer)
        with suppress(OSError, asyncio.CancelledError):
            writer.close()
            await writer.wait_closed()

    def headers(self) -> dict[str, str]:
        """Of the last request, names in lower case."""
        lines = self.job_cache[-1].strip().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


Answer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def plain(raw: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


def http(status: str, body: bytes = b"", **headers: str) -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return plain("\r\n".join([*lines, "", ""]).encode() + body)


def a_ticket(
    url: str, *, headers: Mapping[str, str] | None = None, seconds: float = PLENTY_SECONDS
) -> RunTicket:
    extra = {} if headers is None else {"headers": headers}
    executor = {"kind": "http", "url": url, **extra}
    return a_run_ticket(executor, task="tell me \ud83d\ude00 all", seconds=seconds)


def an_executor(
    allow: AllowList = LOCAL, *, resolve: Resolver = system_resolver, **network: Any
) -> HttpExecutor:
    return HttpExecutor(Signer(SECRET), Guard(allow, resolve), clock=SystemClock(), **network)


async def ask(
    target: Target,
    url: str = "http://127.0.0.1:{port}/run?x=1",
    executor: HttpExecutor | None = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Outcome:
    """The outcome of one run at a target; `{port}` in the URL is the target's port."""
    executor = executor or an_executor()
    async with target.listening():
        try:
            return await executor.execute(a_ticket(url.format(port=target.port), headers=headers))
        finally:
            await executor.aclose()


def outcome_of(answer: Answer) -> Outcome:
    return asyncio.run(ask(Target(answer)))


def success_of(answer: Answer) -> Success:
    outcome = outcome_of(answer)
    assert isinstance(outcome, Success), outcome
    return outcome


def failure_of(answer: Answer) -> Failure:
    outcome = outcome_of(answer)
    assert isinstance(outcome, Failure), outcome
    return outcome


async def until_left(reader: asyncio.StreamReader) -> None:
    """Until the client has disconnected."""
    while await reader.read(1024):
        pass

"""No target delays a run past its deadline (E2): slow, silent, endless, redirecting, bombing,
garbled.
"""

from __future__ import annotations

import asyncio

import pytest

from ledger.dispatch.executors.outcomes import Outcome
from ledger.domain.job.outcomes import Failure
from tests.support.servers.http_targets import (
    Answer,
    Target,
    a_ticket,
    an_executor,
    ask,
    http,
    plain,
    until_left,
)

TINY_SECONDS = 0.05


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await until_left(reader)


def then_silent(raw: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await until_left(reader)

    return answer


def endless(start: bytes, piece: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()

    return answer


def dripping(start: bytes, piece: bytes) -> Answer:
    """One piece every few milliseconds, for as long as the client stays connected."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        gone = asyncio.ensure_future(until_left(reader))
        while not gone.done():
            writer.write(piece)
            await asyncio.wait({gone}, timeout=0.002)

    return answer


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
REFUSAL = b"HTTP/1.1 500 No\r\n\r\n"
LONG = OK + b"Content-Length: 1000000000\r\n\r\n"

HOLDING = {
    "silence": (silent, {"timeout"}),
    "half a status line": (then_silent(b"HTTP/1."), {"timeout"}),
    "half a head": (then_silent(OK + b"X: y\r\n"), {"timeout"}),
    "half a body": (then_silent(LONG + b"x"), {"timeout"}),
    "a dripping head": (dripping(OK, b"X: y\r\n"), {"timeout"}),
    "a dripping body": (dripping(LONG, b"x"), {"timeout"}),
    "dripping chunks": (dripping(CHUNKED, b"1\r\nx\r\n"), {"timeout"}),
    "an endless head": (endless(OK, b"X: y\r\n" * 100), {"server_error", "timeout"}),
    "an endless body": (endless(LONG, b"x" * 65536), {"succeeded", "timeout"}),
    "endless chunks": (endless(CHUNKED, b"1\r\nx\r\n" * 1000), {"succeeded", "timeout"}),
    "endless interim answers": (endless(b"", INTERIM * 100), {"timeout", "server_error"}),
    "an endless refusal": (endless(REFUSAL, b"x" * 65536), {"server_error", "timeout"}),
    "a redirect to itself": (http("302 Found", Location="/run"), {"client_error", "timeout"}),
    "garbage": (plain(b"\0\xff garbage\r\n\r\n"), {"server_error", "timeout"}),
    "nothing": (plain(b""), {"server_error", "timeout"}),
    "a reset": (hang_up, {"server_error", "unreachable", "timeout"}),
}


@pytest.mark.parametrize("name", HOLDING)
def test_no_target_delays_a_run_past_its_deadline(name: str) -> None:
    answer, allowed = HOLDING[name]

    async def twenty_times() -> set[str]:
        target = Target(answer)
        executor = an_executor()
        async with target.listening():
            ticket = a_ticket(f"http://127.0.0.1:{target.port}/", seconds=TINY_SECONDS)
            outcomes = [await executor.execute(ticket) for _ in range(20)]
        await executor.aclose()
        return {
            outcome.failure_class if isinstance(outcome, Failure) else "succeeded"
            for outcome in outcomes
        }

    assert asyncio.run(twenty_times()) <= allowed


def test_a_redirect_is_never_followed() -> None:
    async def scenario() -> tuple[Outcome, int]:
        canary = Target(http("200 OK"))
        async with canary.listening():
            location = f"http://127.0.0.1:{canary.port}/"
            outcome = await ask(Target(http("307 Over There", Location=location)))
        return outcome, len(canary.job_cache)

    outcome, hits = asyncio.run(scenario())

    assert hits == 0
    assert isinstance(outcome, Failure)
    assert "redirects are never followed" in outcome.error


def test_a_cancelled_run_closes_its_connection() -> None:
    async def scenario() -> None:
        asked, left = asyncio.Event(), asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await until_left(reader)
            left.set()

        executor = an_executor()
        async with Target(answer).listening() as target:
            run = asyncio.ensure_future(
                executor.execute(a_ticket(f"http://127.0.0.1:{target.port}/"))
            )
            await asked.wait()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            await left.wait()
        await executor.aclose()

    asyncio.run(scenario())

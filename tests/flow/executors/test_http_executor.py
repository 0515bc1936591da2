"""The HTTP executor against real servers: what is sent, and what an answer means."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from ledger.dispatch.executors.addresses import AllowList
from ledger.dispatch.executors.http import ANSWER_BYTES
from ledger.dispatch.executors.outcomes import Blocked, Deferred, Outcome
from ledger.dispatch.executors.output import HEAD_BYTES
from ledger.domain.job.outcomes import Failure, Success
from tests.support.servers.http_targets import (
    SECRET,
    Target,
    a_ticket,
    an_executor,
    ask,
    failure_of,
    http,
    outcome_of,
    plain,
    success_of,
)

# -- what is sent -------------------------------------------------------------------------------


def test_the_run_is_posted_as_json_and_signed_so_that_anyone_can_verify_it() -> None:
    target = Target(http("200 OK", b"done"))

    asyncio.run(ask(target, headers={"Authorization": "Bearer x", "X-Team": "a; b"}))

    sent = Webhook(SECRET).verify(target.bodies[0], target.headers())
    assert sent == {
        "run_id": "6f1f3d0e-8c56-5f43-9a55-0b6a52c7d001",
        "job_id": "0b6a52c7-8c56-4f43-9a55-6f1f3d0ed001",
        "name": "daily report",
        "task": "tell me \U0001f600 all",
        "scheduled_for": "2026-03-01T12:00:00Z",
        "attempt": 2,
        "fence": 17,
    }
    assert target.bodies[0].isascii()
    headers = target.headers()
    assert target.job_cache[0].startswith("POST /run?x=1 HTTP/1.1\r\n")
    assert headers["webhook-id"] == headers["idempotency-key"] == sent["run_id"]
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == f"127.0.0.1:{target.port}"
    assert headers["authorization"] == "Bearer x"
    assert headers["x-team"] == "a; b"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "x"),
        ("webhook-signature", "x"),
        ("Content-Length", "x"),
        ("A", "x\r\nwebhook-id: forged"),
    ],
)
def test_a_job_that_overrides_what_signs_or_routes_sends_nothing(name: str, value: str) -> None:
    target = Target(http("200 OK"))

    outcome = asyncio.run(ask(target, headers={name: value}))

    assert isinstance(outcome, Blocked)
    assert target.job_cache == []


def test_no_state_is_carried_from_one_run_to_the_next() -> None:
    target = Target(http("200 OK", b"", Set_Cookie="a=b; Path=/"))

    async def twice() -> None:
        executor = an_executor()
        async with target.listening():
            for _ in range(2):
                await executor.execute(a_ticket(f"http://127.0.0.1:{target.port}/"))
        await executor.aclose()

    asyncio.run(twice())

    assert len(target.job_cache) == 2
    assert "cookie" not in target.headers()


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert success_of(http("200 OK", b"direct")).output == "direct"


# -- what an answer means -----------------------------------------------------------------------


def test_any_2xx_is_a_success_and_its_text_is_the_output() -> None:
    outcome = success_of(http("201 Created", "grüße".encode()))

    assert outcome.output == "grüße"
    assert outcome.output_bytes == 7
    assert outcome.output_sha256 == hashlib.sha256("grüße".encode()).hexdigest()


def test_204_is_a_success_without_output() -> None:
    outcome = success_of(plain(b"HTTP/1.1 204 No Content\r\n\r\n"))

    assert (outcome.output, outcome.output_bytes) == ("", 0)


def test_202_defers_without_waiting_for_a_body() -> None:
    answer = plain(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n")

    assert outcome_of(answer) == Deferred()


def test_a_text_that_starts_with_error_is_a_failure_as_in_phantom() -> None:
    outcome = failure_of(http("200 OK", b"Error: 429 rate limit", Retry_After="60"))

    assert outcome.error == "Error: 429 rate limit"
    assert outcome.failure_class == "rate_limited"
    assert outcome.target == "127.0.0.1"
    assert outcome.retry_after is not None


def test_invalid_utf8_is_stored_as_valid_text() -> None:
    outcome = success_of(http("200 OK", b"a\xff\0b"))

    assert outcome.output == "a\ufffdb"
    assert outcome.output_bytes == 4


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("429 Too Many Requests", "rate_limited"),
        ("401 Unauthorized", "unauthorized"),
        ("404 Not Found", "client_error"),
        ("500 Internal Server Error", "server_error"),
        ("599 Odd", "server_error"),
        ("302 Found", "client_error"),
        ("304 Not Modified", "client_error"),
    ],
)
def test_any_other_status_is_a_failure_of_its_class(status: str, expected: str) -> None:
    outcome = failure_of(http(status))

    assert outcome.failure_class == expected
    assert outcome.error.startswith(f"HTTP {status[:3]}")


def test_an_error_quotes_the_targets_answer() -> None:
    assert failure_of(http("503 No", b"come back later")).error == "HTTP 503: come back later"


def test_retry_after_is_read_from_the_answer() -> None:
    before = datetime.now(UTC)

    outcome = failure_of(http("429 Slow", Retry_After="3600"))

    assert outcome.retry_after is not None
    assert outcome.retry_after >= before + timedelta(hours=1)


def test_an_answer_beyond_the_limit_is_a_success_with_the_size_that_was_read() -> None:
    body = b"x" * (ANSWER_BYTES + 1)

    outcome = success_of(http("200 OK", body))

    assert outcome.output_bytes == ANSWER_BYTES
    assert outcome.output_sha256 == hashlib.sha256(body[:ANSWER_BYTES]).hexdigest()
    assert outcome.output == "x" * HEAD_BYTES


def test_an_answer_without_end_is_a_success_that_stops_at_the_limit() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    assert success_of(answer).output_bytes == ANSWER_BYTES


def test_a_gzip_bomb_stays_packed() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)

    outcome = success_of(http("200 OK", bomb, Content_Encoding="gzip"))

    assert outcome.output_bytes == len(bomb)


def test_a_closed_port_is_unreachable() -> None:
    async def closed_port() -> Outcome:
        async with Target(http("200 OK")).listening() as target:
            port = target.port
        executor = an_executor()
        outcome = await executor.execute(a_ticket(f"http://127.0.0.1:{port}/"))
        await executor.aclose()
        return outcome

    outcome = asyncio.run(closed_port())

    assert isinstance(outcome, Failure)
    assert outcome.failure_class == "unreachable"


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    async def nowhere(host: str, port: int) -> tuple[str, ...]:
        raise OSError("Name or service not known")

    outcome = asyncio.run(an_executor(resolve=nowhere).execute(a_ticket("http://a.example/")))

    assert isinstance(outcome, Failure)
    assert outcome.failure_class == "unreachable"
    assert "Name or service not known" in outcome.error


def test_an_address_that_does_not_answer_is_passed_over_for_the_next() -> None:
    async def two(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.2", "127.0.0.1")

    executor = an_executor(AllowList.parse("agent.example"), resolve=two)

    outcome = asyncio.run(
        ask(Target(http("200 OK", b"second")), "http://agent.example:{port}/", executor)
    )

    assert isinstance(outcome, Success)
    assert outcome.output == "second"

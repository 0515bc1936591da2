"""No target makes the ledger connect to this machine (TH6): odd spellings, rebinding names,
redirects, proxies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import httpcore
import pytest

from ledger.dispatch.executors.addresses import AllowList, Resolver, system_resolver
from ledger.dispatch.executors.outcomes import Blocked, Outcome
from ledger.domain.job.outcomes import Failure, Success
from tests.support.servers.http_targets import a_ticket, an_executor

ADDRESSES = [
    "127.0.0.1", "127.1", "127.0.1", "127.0.0.2", "127.255.255.254", "127.0.0.1.", "2130706433",
    "02130706433", "017700000001", "0x7f000001", "0x7F000001", "0x7f.1", "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1", "0177.0.0.1", "0177.1", "0177.0.0.01", "127.0x1", "127.000.000.001",
    "00000177.0.0.1", "127.0.00.1", "0x7f.0.1", "0", "0.0.0.0", "0x0", "00", "0.0", "0.0.0",
    "6425673729", "4294967296", "127.0.0.257", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[0000::0001]", "[::127.0.0.1]", "[::7f00:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:1::1]",
    "[2001:0:7f00:1::1]", "[::1%25lo]", "[::1%lo]", "[fe80::1%25lo]", "[::1", "::1", "[::1]]",
    "[[::1]]", "[127.0.0.1]", "[v1.127.0.0.1]", "[::ffff:127.1]", "[0x7f.1]", "[fe80::7f00:1]",
]  # fmt: skip
NAMES = [
    "localhost", "LOCALHOST", "LocalHost", "localhost.", "localhost..", ".localhost",
    "localhost%00", "localhost%2e", "%6cocalhost", "loc\u0430lhost", "localhost\u3002",
    "l\u2460calhost", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
]  # fmt: skip
LOOKALIKES = [
    "\uff11\uff12\uff17.0.0.1", "\uff11\uff12\uff17\u3002\uff10\u3002\uff10\u3002\uff11",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "127\u30020\u30020\u30021", "127\uff0e0.0.1",
    "\u0661\u0662\u0667.\u0660.\u0660.\u0661", "\u00b9\u00b2\u2077.0.0.1", "127.0.0.1\u00ad",
    "127\u2024 0.0.1", "\u2488\u2481.0.0.1", "127.0.0.\U0001d7cf", "\ufeff127.0.0.1",
]  # fmt: skip
BROKEN = [
    "127.0.0.1\r\n", "127.0.0.1\t", "\t127.0.0.1", "127.\t0.0.1", "127.0.0.1\n", "127.0.0.1\0",
    " 127.0.0.1", "127.0.0.1 ", "127.0.0.1\r\nHost: x", "127.0.0.1\x0b", "127.0.0.1\x7f",
    "127.0.0.1\\", "127.0.0.1%0d%0a", "127.0.0.1%09", "127.0.0.1%23", "127%2e0%2e0%2e1",
]  # fmt: skip
TEMPLATES = [
    "http://u@{}", "http://u:p@{}", "http://8.8.8.8@{}", "http://8.8.8.8:80@{}",
    "http://8.8.8.8#@{}", "http://8.8.8.8\\@{}", "http://8.8.8.8%40{}", "http://8.8.8.8?@{}",
    "http://8.8.8.8\t@{}", "http://8.8.8.8\r\n@{}", "http://@{}", "http://:@{}", "http://@@{}",
    "http:{}", "http:/{}", "http:///{}", "http:////{}", "http:\\\\{}", "http:/\\{}", "//{}", "{}",
    " http://{}", "\thttp://{}", "ht\ntp://{}", "http://\\{}", "HTTP:{}", "url:http://{}",
    "view-source:http://{}", "jar:http://{}!/", "file://{}/", "file:///dev/tcp/{}", "ftp://{}/",
    "gopher://{}/_POST", "dict://{}/x", "ldap://{}/", "ws://{}/", "wss://{}/", "tftp://{}/",
    "unix://{}", "http+unix://{}", "data:text/plain,http://{}", "javascript:fetch('http://{}')",
    "https://{}/", "HTTP://{}/", "http://{}/../", "http://{}?x", "http://{}#x",
]  # fmt: skip


def urls(port: int) -> Iterable[str]:
    for host in [*ADDRESSES, *NAMES, *LOOKALIKES, *BROKEN]:
        yield f"http://{host}:{port}/"
    for template in TEMPLATES:
        yield template.format(f"127.0.0.1:{port}")
    yield f"http://127.0.0.1:{port}%20/"
    yield f"http://127.0.0.1:0{port}/"
    yield f"http://127.0.0.1:{port}:80/"
    yield f"http://127.0.0.1:+{port}/"


@dataclass
class Canary:
    """A server on this machine that must not be reached; every connection is a hit."""

    hits: int = 0
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Canary]:
        server = await asyncio.start_server(self._hit, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _hit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hits += 1
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()


class OnlyThisMachine(httpcore.AnyIOBackend):
    """A network whose public part is down, so that a test sends nothing out; this machine's is
    real.
    """

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if host != "127.0.0.1":
            raise httpcore.ConnectError("the public network is down")
        return await super().connect_tcp(host, port, timeout, local_address, socket_options)


async def execute(
    url: str, *, allow: AllowList | None = None, resolve: Resolver = system_resolver
) -> Outcome:
    executor = an_executor(allow or AllowList(), resolve=resolve, network=OnlyThisMachine())
    try:
        return await executor.execute(a_ticket(url))
    finally:
        await executor.aclose()


def test_no_spelling_of_this_machine_reaches_it() -> None:
    async def scenario() -> tuple[Canary, list[tuple[str, Outcome]]]:
        async with Canary().listening() as canary:
            return canary, [(url, await execute(url)) for url in urls(canary.port)]

    canary, outcomes = asyncio.run(scenario())

    assert canary.hits == 0
    assert len(outcomes) >= 150
    not_blocked = [url for url, outcome in outcomes if not isinstance(outcome, Blocked)]
    assert not_blocked == [f"http://8.8.8.8?@127.0.0.1:{canary.port}"]  # that host is 8.8.8.8


def test_an_allowed_local_target_is_reached() -> None:
    async def scenario() -> tuple[Canary, Outcome]:
        async with Canary().listening() as canary:
            allow = AllowList.parse(f"127.0.0.1:{canary.port}")
            return canary, await execute(f"http://127.0.0.1:{canary.port}/", allow=allow)

    canary, outcome = asyncio.run(scenario())

    assert canary.hits == 1
    assert isinstance(outcome, Success)


def test_a_name_that_rebinds_after_it_was_checked_is_not_followed() -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> tuple[str, ...]:
        asked.append(host)
        return ("93.184.216.34",) if asked.count(host) == 1 else ("127.0.0.1",)

    async def scenario() -> tuple[Canary, list[Outcome]]:
        async with Canary().listening() as canary:
            return canary, [
                await execute(f"http://r{number}.example:{canary.port}/", resolve=rebinding)
                for number in range(100)
            ]

    canary, outcomes = asyncio.run(scenario())

    assert canary.hits == 0
    assert len(asked) == len(set(asked)) == 100
    assert all(isinstance(outcome, Failure) for outcome in outcomes)


@pytest.mark.parametrize(
    "found",
    [
        ("127.0.0.1",),
        ("93.184.216.34", "127.0.0.1"),
        ("127.0.0.1", "93.184.216.34"),
        ("169.254.169.254",),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::7f00:1",),
    ],
)
def test_a_name_that_resolves_to_this_machine_is_blocked_and_the_cause_names_the_setting(
    found: tuple[str, ...],
) -> None:
    async def leading_here(host: str, port: int) -> tuple[str, ...]:
        return found

    async def scenario() -> tuple[Canary, Outcome]:
        async with Canary().listening() as canary:
            return canary, await execute(f"http://a.example:{canary.port}/", resolve=leading_here)

    canary, outcome = asyncio.run(scenario())

    assert canary.hits == 0
    assert isinstance(outcome, Blocked)
    assert "JOBLEDGER_HTTP_ALLOW" in outcome.cause
    assert any(f"resolves to {ip_address(address)}," in outcome.cause for address in found)

"""Which addresses are permitted, how an operator permits more, and how a URL must be written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.dispatch.executors.addresses import (
    AllowList,
    Guard,
    TargetRefused,
    is_public,
    system_resolver,
)
from ledger.domain.job.urls import WebUrl, parse_url
from ledger.errors import InvalidField, StartRefused

PUBLIC = ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "192.169.0.1", "223.255.255.255"]
PUBLIC += ["2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]

REFUSED = ["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1"]
REFUSED += ["127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255"]
REFUSED += ["192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1"]
REFUSED += ["203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"]
REFUSED += ["::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"]
REFUSED += ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1"]
REFUSED += ["2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1"]
REFUSED += ["5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1"]


@pytest.mark.parametrize("address", [*PUBLIC, *REFUSED])
def test_only_a_public_address_is_permitted(address: str) -> None:
    assert is_public(ip_address(address)) == (address in PUBLIC)


@given(st.ip_addresses(v=4))
def test_ipv4_inside_ipv6_is_checked_as_ipv4(address: IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        inside = IPv6Address(int(IPv6Address(prefix)) + int(address))
        assert is_public(inside) == is_public(address)


@given(st.ip_addresses())
def test_no_address_that_the_standard_library_calls_local_is_public(
    address: IPv4Address | IPv6Address,
) -> None:
    is_local = (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (isinstance(address, IPv4Address) and address.is_private)
    )

    assert not (is_local and is_public(address))


LIST = AllowList.parse(
    "agent.internal, LOCALHOST.:8080 10.1.0.0/16,[::1]:9000\n127.0.0.1:3100 fd00::/8"
)


@pytest.mark.parametrize(
    ("host", "port", "address", "expected"),
    [
        ("agent.internal", 1, "10.9.9.9", True),
        ("x.agent.internal", 1, "10.9.9.9", False),
        ("localhost", 8080, "127.0.0.1", True),
        ("localhost", 8081, "127.0.0.1", False),
        ("any.example", 80, "10.1.2.3", True),
        ("any.example", 80, "10.2.2.3", False),
        ("::1", 9000, "::1", True),
        ("::1", 9001, "::1", False),
        ("localhost", 3100, "127.0.0.1", True),
        ("localhost", 3100, "127.0.0.2", False),
        ("any.example", 443, "fd12::1", True),
        ("any.example", 443, "::ffff:10.1.2.3", False),
    ],
)
def test_the_allow_list_permits_what_it_names(
    host: str, port: int, address: str, expected: bool
) -> None:
    assert LIST.permits(host, port, ip_address(address)) is expected


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1/8", "host:0", "host:99999", "host:x", "http://host", "a b@c", "*.example", "127.1"]
    + ["[::1", "::1]:80", "10.0.0.0/33", "host:\u0661"],
)
def test_a_garbled_allow_list_stops_the_start(text: str) -> None:
    with pytest.raises(StartRefused, match="JOBLEDGER_HTTP_ALLOW"):
        AllowList.parse(text)


def test_an_empty_allow_list_permits_nothing() -> None:
    assert AllowList.parse(" ,\n") == AllowList()


def judged(allow: AllowList, *found: str) -> tuple[str, ...]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return found

    return asyncio.run(Guard(allow, resolve).addresses("name.example", 80))


def test_all_addresses_of_a_name_must_be_permitted() -> None:
    with pytest.raises(TargetRefused, match="resolves to 127.0.0.1") as refusal:
        judged(AllowList(), "1.1.1.1", "2606:4700::1111", "127.0.0.1")

    assert "JOBLEDGER_HTTP_ALLOW" in str(refusal.value)


def test_a_name_is_refused_when_the_list_permits_only_some_of_its_addresses() -> None:
    with pytest.raises(TargetRefused, match="resolves to 10.2.0.1"):
        judged(AllowList.parse("10.1.0.0/16"), "10.1.0.1", "10.2.0.1")


def test_permitted_addresses_are_returned_in_the_resolvers_order() -> None:
    assert judged(AllowList(), "8.8.8.8", "1.1.1.1") == ("8.8.8.8", "1.1.1.1")


@pytest.mark.parametrize("found", [(), ("not an address",), ("127.1",)])
def test_a_name_without_a_proper_address_is_unreachable(found: tuple[str, ...]) -> None:
    with pytest.raises(httpcore.ConnectError):
        judged(AllowList(), *found)


SPELLINGS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "017700000001", "0x7f.0.0.0x1", "localhost", "::1", "::ffff:127.0.0.1", "0", "0.0.0.0", "0x0",
    "::", "::127.0.0.1", "0:0:0:0:0:0:0:1", "127.000.000.001", "127.255.255.254",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
def test_the_guard_alone_stops_every_spelling_the_machines_resolver_understands(host: str) -> None:
    with pytest.raises((TargetRefused, httpcore.ConnectError)):
        asyncio.run(Guard(AllowList(), system_resolver).addresses(host, 80))


def test_a_target_given_by_its_address_is_named_once_in_the_refusal() -> None:
    with pytest.raises(TargetRefused) as refused:
        asyncio.run(Guard(AllowList(), system_resolver).addresses("10.0.0.1", 80))

    assert str(refused.value) == (
        "10.0.0.1 is not on the public internet: nothing was sent. To permit it, add 10.0.0.1 to "
        "JOBLEDGER_HTTP_ALLOW."
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.example", WebUrl("http", "a.example", 80, "/")),
        ("HTTPS://A.Example.:8443/x?y=/@:z", WebUrl("https", "a.example", 8443, "/x?y=/@:z")),
        ("https://a.example?q", WebUrl("https", "a.example", 443, "/?q")),
        ("http://127.0.0.1:3100/", WebUrl("http", "127.0.0.1", 3100, "/")),
        ("http://[0:0::1]:80/", WebUrl("http", "::1", 80, "/")),
        ("http://agent_1-x/", WebUrl("http", "agent_1-x", 80, "/")),
        ("http://xn--bcher-kva.example/%0d", WebUrl("http", "xn--bcher-kva.example", 80, "/%0d")),
    ],
)
def test_a_plain_url_is_split_into_its_parts(url: str, expected: WebUrl) -> None:
    assert parse_url(url, field="executor.url") == expected


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://a.example:80/", "a.example"),
        ("https://a.example:80/", "a.example:80"),
        ("https://[::1]/", "[::1]"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_the_host_header_is_written_as_usual(url: str, authority: str) -> None:
    assert parse_url(url, field="executor.url").authority == authority


@pytest.mark.parametrize(
    "url",
    ["", "x", "http:", "http://", "http:///x", "http:/a.example", "http:a.example", "//a.example"]
    + ["ftp://a.example", "file:///etc/passwd", "javascript:x", "gopher://a.example", " http://a"]
    + ["http://u@a.example", "http://u:p@a.example", "http://a.example#x", "http://a.example\\x"]
    + ["http://a.example:0", "http://a.example:65536", "http://a.example:", "http://a.example:x"]
    + ["http://a..example", "http://.a", "http://-a.example", "http://a%2eb", "http://a.example\n"]
    + ["http://[::1", "http://::1", "http://[::1%25lo]", "http://[127.0.0.1]", "http://[v1.x]"]
    + ["http://127.1", "http://2130706433", "http://0x7f.1", "http://0177.0.0.1", "http://1.2.3"]
    + ["http://a.1", "http://a.0x1", "http://bücher.example", "http://\uff11\uff12\uff17.0.0.1"]
    + ["http://" + "a" * 64 + ".example", "http://" + "a." * 130 + "a", "http://a/" + "x" * 2048]
    + ["http://a b", "http://a\tb", "http://a\0b", "http://127.0.0.01", "http://1.2.3.4.5"],
)
def test_any_other_url_is_refused_before_it_is_stored(url: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        parse_url(url, field="executor.url")

    assert refusal.value.facts["field"] == "executor.url"


@given(st.text() | st.none() | st.integers())
def test_any_text_is_parsed_or_refused(url: object) -> None:
    try:
        parsed = parse_url(url, field="executor.url")
    except InvalidField:
        return
    assert parsed.host.isascii()

"""Where the ledger may connect to: names are resolved once, every address is checked, and only a
permitted one is connected to.

The guard sits under the HTTP client, where the connection is made, so what is checked is what is
connected to: no second resolution (DNS rebinding), no second parsing of the address and no redirect
can bypass it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import httpcore

from ledger.domain.job.urls import parse_host
from ledger.errors import InvalidField, StartRefused

ADDRESSES_TRIED = 4
"""How many addresses of one name are tried, in the resolver's order, before the target counts as
unreachable.
"""

CONNECT_SECONDS = 5.0
"""How long one address is tried before the next one; the run's own deadline may come first."""

SETTING = "JOBLEDGER_HTTP_ALLOW"

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

# Ranges that the IANA special-purpose registries do not call globally reachable, multicast, relays.
_REFUSED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network, unspecified
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared (carriers, some clouds' metadata)
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # a cloud's metadata at an address that looks public
            "169.254.0.0/16",  # link-local, metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)
_TRANSLATED = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))  # IPv4-mapped, NAT64


class TargetRefused(Exception):
    """Connecting to the target is not permitted; nothing was sent. The message names the address
    and the setting.
    """


def is_public(address: Address) -> bool:
    """Whether the address is on the public internet. IPv4 inside IPv6 (mapped, NAT64) is checked as
    the IPv4 address it is.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if any(address in network for network in _TRANSLATED):
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)


@dataclass(frozen=True, slots=True)
class AllowList:
    """What an operator permits beyond the public internet; a port of None means any port."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: frozenset[tuple[Network, int | None]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> AllowList:
        """From `JOBLEDGER_HTTP_ALLOW`: hosts, addresses (each with an optional :port) and networks,
        separated by commas or blanks. IPv6 with a port is in brackets. Refuses StartRefused, naming
        the invalid entry.
        """
        allowed = cls()
        for entry in text.replace(",", " ").split():
            allowed = allowed.with_entry(entry)
        return allowed

    def with_entry(self, entry: str) -> AllowList:
        """The list with one more host, address or network; refuses StartRefused."""
        try:
            return AllowList(self.hosts, self.networks | {(ip_network(entry), None)})
        except ValueError:
            host, port = _host_and_port(entry)
        return self.with_host(host, port)

    def with_host(self, host: str, port: int | None) -> AllowList:
        """The list with a host or an address (without brackets), on one port or on any."""
        try:
            return AllowList(self.hosts, self.networks | {(ip_network(host), port)})
        except ValueError:
            return AllowList(self.hosts | {(host, port)}, self.networks)

    def permits(self, host: str, port: int, address: Address) -> bool:
        """Whether the name is permitted with whatever it resolves to, or this very address is."""
        if not self.hosts.isdisjoint({(host, None), (host, port)}):
            return True
        return any(address in network for network, only in self.networks if only in (None, port))


def _host_and_port(entry: str) -> tuple[str, int | None]:
    """Raises StartRefused."""
    host, colon, digits = entry.rpartition(":")
    has_port = bool(colon) and not entry.endswith("]")
    try:
        port = int(digits) if has_port and digits.isascii() and digits.isdigit() else None
        if has_port and (port is None or not 0 < port < 65536):
            raise InvalidField(SETTING, "has a port that is not a number from 1 to 65535")
        return parse_host(host if has_port else entry, field=SETTING), port
    except InvalidField as refusal:
        raise StartRefused(
            f"{refusal.message} (in {entry!r}); give hosts, host:port, addresses "
            "or networks such as 10.0.0.0/8."
        ) from None


async def system_resolver(host: str, port: int) -> tuple[str, ...]:
    """The machine's own resolver: every address of `host`, in its order. Raises OSError when there
    is none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Guard:
    """Resolves and checks. One refused address refuses the name: which one is connected to is not
    under our control.
    """

    allow: AllowList
    resolve: Resolver = system_resolver

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of `host`, all of them permitted. Raises TargetRefused, or
        httpcore.ConnectError without any address.
        """
        try:
            found = tuple(map(ip_address, await self.resolve(host, port)))
        except (OSError, UnicodeError, ValueError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        if not found:
            raise httpcore.ConnectError(f"{host} has no address")
        self._require_acceptable(host, port, found)
        return tuple(map(str, found))

    def _require_acceptable(self, host: str, port: int, found: Iterable[Address]) -> None:
        for address in found:
            if not is_public(address) and not self.allow.permits(host, port, address):
                raise TargetRefused(_refusal(host, str(address)))


def _refusal(host: str, address: str) -> str:
    is_named = host != address
    return (
        f"{host} {f'resolves to {address}, which ' if is_named else ''}is not on "
        "the public internet: nothing was sent. To permit it, add "
        f"{host}{f' or {address}' if is_named else ''} to {SETTING}."
    )


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """The network as the HTTP client sees it: it passes names, and only checked addresses are
    connected to.

    TLS is still verified against the name, because the client above only knows the name.
    """

    def __init__(self, guard: Guard, network: httpcore.AsyncNetworkBackend) -> None:
        self._guard = guard
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A stream to the first checked address that answers. Raises TargetRefused and httpcore's
        errors.
        """
        problem: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in (await self._guard.addresses(host, port))[:ADDRESSES_TRIED]:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout or CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem

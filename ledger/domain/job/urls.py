"""The URLs that a job may name: one strict grammar, so that no two readers disagree on the host.

Unusual spellings of an address (`127.1`, `2130706433`, `0x7f.1`), user names, control characters,
backslashes, fragments and anything outside ASCII are refused here, before anything is stored; where
a *name* resolves to is checked when the run is executed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ledger.errors import InvalidField

URL_CHARACTERS = 2048
"""The maximum length of a URL."""

HOST_CHARACTERS = 253
"""The maximum length of a host name (RFC 1035)."""

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class WebUrl:
    """A URL in its parts. `host` is lower case, without brackets or a final dot."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as in the `Host` header: brackets around IPv6, no port where it is the
        default one.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


_FOREIGN = re.compile(r"[^\x21-\x7e]|\\")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<target>[/?].*)?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def parse_url(url: object, *, field: str) -> WebUrl:
    """The parts of `url`; refuses InvalidField (`field` is named) for anything but a plain http or
    https URL.
    """
    if not isinstance(url, str) or not 0 < len(url) <= URL_CHARACTERS:
        raise InvalidField(field, f"must be a string of 1 to {URL_CHARACTERS} characters")
    if _FOREIGN.search(url):
        raise InvalidField(field, "must be printable ASCII without spaces or backslashes")
    if "#" in url:
        raise InvalidField(field, "has a fragment (#…), which is never sent: remove it")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise InvalidField(field, _why_not(url))
    scheme = parts["scheme"].lower()
    target = parts["target"] or "/"
    return WebUrl(
        scheme=scheme,
        host=parse_host(parts["host"], field=field),
        port=_port(parts["port"], DEFAULT_PORTS[scheme], field),
        target=target if target.startswith("/") else f"/{target}",
    )


def _why_not(url: str) -> str:
    if not url.lower().startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    if "@" in url.split("/", 3)[2]:
        return "contains a user name or password: put credentials into headers instead"
    return "must name a host (letters, digits, dots, hyphens, or an address) and may name a port"


def parse_host(text: str, *, field: str) -> str:
    """A host name, an IPv4 address or an IPv6 address in brackets, in lower case without brackets
    or final dot.

    Refuses InvalidField for anything else. A host that ends in a number must be four decimal
    numbers (the rule of the WHATWG URL standard), because resolvers read `127.1` and `0x7f.1` as
    addresses.
    """
    host = text.lower()
    if host.startswith("["):
        return _ipv6(host, field)
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidField(field, "has an invalid host name")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(host, field)
    return host


def _ipv6(host: str, field: str) -> str:
    try:
        return str(IPv6Address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise InvalidField(
            field, "has brackets around something that is not an IPv6 address"
        ) from None


def _ipv4(host: str, field: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise InvalidField(
            field, "must write an IPv4 address as four decimal numbers, such as 192.0.2.1"
        ) from None


def _port(text: str | None, default: int, field: str) -> int:
    port = default if text is None else int(text)
    if not 0 < port < 65536:
        raise InvalidField(field, "has a port that is not between 1 and 65535")
    return port

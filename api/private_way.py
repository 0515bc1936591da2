"""No password and no job crosses a network in the clear unless somebody said that it may."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from ledger.errors import StartRefused
from ledger.store.address import Address


def require_private_way(address: Address) -> None:
    """StartRefused for a database on another machine whose address does not say how the way to it
    is protected. `sslmode=verify-full` protects it; any other `sslmode` is somebody's decision.
    """
    parts = urlsplit(address.dsn)
    options = parse_qs(parts.query)
    hosts = [*_hosts_of(parts.netloc), *",".join(options.get("host", [])).split(",")]
    if "sslmode" not in options and any(map(_is_remote, hosts)):
        raise StartRefused(
            f"JOBLEDGER_DSN leads to {address.place} and does not say how that way is protected: "
            "add sslmode=verify-full (with sslrootcert), or sslmode=disable where the network is "
            "safe."
        )


def _hosts_of(netloc: str) -> list[str]:
    """The hosts of `user:password@one:5432,two:5432`, addresses of IPv6 without their brackets."""
    return [_host_of(place) for place in netloc.rpartition("@")[2].split(",")]


def _host_of(place: str) -> str:
    is_bracketed = place.startswith("[")
    return place[1:].partition("]")[0] if is_bracketed else place.partition(":")[0]


def _is_remote(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True

"""No password and no job crosses a network in the clear unless somebody said that it may."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import parse_qs

from ledger.errors import StartRefused
from ledger.store.postgres.dsn import PostgresDsn, hosts_of, parts_of, require_readable


def require_encrypted_dsn(address: PostgresDsn) -> None:
    """StartRefused for a database on another machine whose address does not say how the way to it
    is protected. `sslmode=verify-full` protects it; any other `sslmode` is somebody's decision.
    """
    require_readable(address)
    parts = parts_of(address.dsn)
    options = parse_qs(parts.query)
    hosts = [*hosts_of(parts.hosts), *",".join(options.get("host", [])).split(",")]
    if "sslmode" not in options and any(map(_is_remote, hosts)):
        raise StartRefused(
            f"JOBLEDGER_DSN leads to {address.place} and does not say how that way is protected: "
            "add sslmode=verify-full (with sslrootcert), or sslmode=disable where the network is "
            "safe."
        )


def _is_remote(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True

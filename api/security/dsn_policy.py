"""Refuses an unencrypted connection to a remote database unless the DSN asks for it."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import parse_qs

from ledger.errors import StartRefused
from ledger.store.postgres.dsn import PostgresDsn, hosts_of, parts_of, require_readable


def require_encrypted_dsn(address: PostgresDsn) -> None:
    """Raise StartRefused for a remote database whose DSN sets no `sslmode`. `verify-full` is safe;
    any other value is the operator's decision.
    """
    require_readable(address)
    parts = parts_of(address.dsn)
    options = parse_qs(parts.query)
    hosts = [*hosts_of(parts.hosts), *",".join(options.get("host", [])).split(",")]
    if "sslmode" not in options and any(map(_is_remote, hosts)):
        raise StartRefused(
            f"JOBLEDGER_DSN names the remote database {address.location} without sslmode: add "
            "sslmode=verify-full (with sslrootcert), or sslmode=disable on a trusted network."
        )


def _is_remote(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True

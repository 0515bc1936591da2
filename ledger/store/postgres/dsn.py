"""The address of a ledger on PostgreSQL. Imports no driver: on SQLite none is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qs

from ledger.errors import StartRefused

SCHEMA = "jobledger"
"""The database schema that contains a ledger's tables."""
SCHEMES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class PostgresDsn:
    """A libpq connection string, and the schema in that database."""

    dsn: str = field(repr=False)
    schema: str = SCHEMA

    def projections_schema(self, suffix: str) -> PostgresDsn:
        """Another schema in the same database, named after this one."""
        return PostgresDsn(self.dsn, f"{self.schema}{suffix}")

    @property
    def location(self) -> str:
        """Hosts and database for messages; never the password."""
        if not self.dsn.startswith(SCHEMES):
            return "PostgreSQL"
        parts = parts_of(self.dsn)
        if parts.mistake is not None:
            return "PostgreSQL"
        hosts = ",".join(hosts_of(parts.hosts))
        host = hosts or "".join(parse_qs(parts.query).get("host", ["localhost"]))
        return f"{host}{parts.path}"


class Parts(NamedTuple):
    """An address as libpq splits it: what stands before the first @ may contain ? and #."""

    credentials: str
    hosts: str
    path: str
    query: str

    @property
    def mistake(self) -> str | None:
        """What makes libpq misread a part of a password, and quote it in its message; or None."""
        if any(map(_BROKEN.search, self)):
            return "a % that is not followed by a code: write %25"
        if "@" in f"{self.hosts}{self.path}":
            return "an @ or / in the user, the password or the database: write %40 and %2F"
        if any("=" not in piece for piece in self.query.split("&") if piece):
            return "a part without = after the ?: write & as %26"
        return None


_BROKEN = re.compile("%(?!(?!00)[0-9A-Fa-f]{2})")


def parts_of(dsn: str) -> Parts:
    """The parts of `postgresql://user:password@hosts/path?query`."""
    rest = dsn.partition("://")[2]
    credentials = ""
    if "@" in rest.partition("/")[0]:
        credentials, _, rest = rest.partition("@")
    rest, _, query = rest.partition("?")
    hosts, slash, path = rest.partition("/")
    return Parts(credentials, hosts, f"{slash}{path}", query)


def require_readable(address: PostgresDsn) -> None:
    """Raise StartRefused, without quoting the address, for one that libpq would quote in refusing
    it.
    """
    mistake = parts_of(address.dsn).mistake if address.dsn.startswith(SCHEMES) else None
    if mistake is not None:
        raise StartRefused(f"The database's address contains {mistake} (its value is not shown).")


def hosts_of(locations: str) -> list[str]:
    """The hosts of `one:5432,two:5432`, addresses of IPv6 without their brackets."""
    return [_host_of(location) for location in locations.split(",")]


def _host_of(location: str) -> str:
    is_bracketed = location.startswith("[")
    return location[1:].partition("]")[0] if is_bracketed else location.partition(":")[0]

"""Where a ledger on PostgreSQL is. Knows no driver: who stays on SQLite never loads one."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

SCHEMA = "jobledger"
"""The database schema that holds a ledger's tables."""
SCHEMES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Address:
    """A libpq connection string, and the schema in that database."""

    dsn: str = field(repr=False)
    schema: str = SCHEMA

    def beside(self, suffix: str) -> Address:
        """Another schema in the same database, named after this one."""
        return Address(self.dsn, f"{self.schema}{suffix}")

    @property
    def place(self) -> str:
        """Hosts and database for messages; never the password."""
        if not self.dsn.startswith(SCHEMES):
            return "PostgreSQL"
        try:
            parts = urlsplit(self.dsn)
            hosts = ",".join(hosts_of(parts.netloc))
            host = hosts or "".join(parse_qs(parts.query).get("host", ["localhost"]))
        except ValueError:
            return "PostgreSQL"
        return f"{host}{parts.path}"


def hosts_of(netloc: str) -> list[str]:
    """The hosts of `user:password@one:5432,two:5432`, addresses of IPv6 without their brackets."""
    return [_host_of(place) for place in netloc.rpartition("@")[2].split(",")]


def _host_of(place: str) -> str:
    is_bracketed = place.startswith("[")
    return place[1:].partition("]")[0] if is_bracketed else place.partition(":")[0]

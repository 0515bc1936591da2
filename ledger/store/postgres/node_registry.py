"""Which nodes are alive: a row each, renewed by its node, judged by the database's clock.

A node that finds another's lease expired removes the row, and that is final: the other can only
join again under a new name. So a run of a name without a row is abandoned, and any node may end it
at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from ledger.errors import Unavailable
from ledger.store.postgres.connections import PostgresServer, is_open, one_line

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_JOIN = f"INSERT INTO nodes (node, expires_at) VALUES (%s, {_NOW} + %s)"
_RENEW = f"UPDATE nodes SET expires_at = {_NOW} + %s WHERE node = %s"
_LEAVE = "DELETE FROM nodes WHERE node = %s"
_REMOVE_EXPIRED = f"DELETE FROM nodes WHERE expires_at <= {_NOW}"
_LIVING = "SELECT node FROM nodes ORDER BY node"


class PostgresNodeRegistry:
    """See `NodeRegistry`. It has a connection of its own: a node must not lose its lease because
    queries use all others. One caller at a time.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._session: psycopg.Connection[Any] | None = None

    def join(self, node: str, lease_seconds: float) -> None:
        self._ask(_JOIN, (node, round(lease_seconds * 1_000_000)))

    def renew(self, node: str, lease_seconds: float) -> bool:
        return self._ask(_RENEW, (round(lease_seconds * 1_000_000), node)).rowcount == 1

    def leave(self, node: str) -> None:
        self._ask(_LEAVE, (node,))

    def remove_expired(self) -> int:
        return self._ask(_REMOVE_EXPIRED).rowcount

    def living(self) -> list[str]:
        return [node for (node,) in self._ask(_LIVING).fetchall()]

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _ask(self, statement: str, values: Sequence[object] = ()) -> psycopg.Cursor[Any]:
        try:
            return self._opened().execute(statement.encode(), values)
        except psycopg.Error as error:
            self.close()
            raise Unavailable(
                f"The registry of nodes could not be reached ({one_line(error)}): try again."
            ) from error

    def _opened(self) -> psycopg.Connection[Any]:
        if self._session is None or not is_open(self._session):
            self.close()
            self._session = self._server.connect()
        return self._session

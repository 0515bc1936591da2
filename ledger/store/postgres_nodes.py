"""Which nodes are alive: a row each, renewed by its node, judged by the database's clock.

Whoever finds a node's time run out takes the row away, and that is final: the node can only
come back under another name. So a run of a name that is not there is nobody's any more, and may
be given up by anybody at any time.
"""

from __future__ import annotations

from ledger.store.postgres_connections import PostgresServer

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_JOIN = f"INSERT INTO nodes (node, expires_at) VALUES (%s, {_NOW} + %s)"
_RENEW = f"UPDATE nodes SET expires_at = {_NOW} + %s WHERE node = %s"
_LEAVE = "DELETE FROM nodes WHERE node = %s"
_BURY = f"DELETE FROM nodes WHERE expires_at <= {_NOW}"
_LIVING = "SELECT node FROM nodes ORDER BY node"


class PostgresNodes:
    """See `ledger.store.nodes.NodeTable`."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def join(self, node: str, lease_seconds: float) -> None:
        with self._server.reading() as connection:
            connection.execute(_JOIN, (node, round(lease_seconds * 1_000_000)))

    def renew(self, node: str, lease_seconds: float) -> bool:
        with self._server.reading() as connection:
            cursor = connection.execute(_RENEW, (round(lease_seconds * 1_000_000), node))
            return cursor.rowcount == 1

    def leave(self, node: str) -> None:
        with self._server.reading() as connection:
            connection.execute(_LEAVE, (node,))

    def bury(self) -> int:
        with self._server.reading() as connection:
            return connection.execute(_BURY).rowcount

    def living(self) -> list[str]:
        with self._server.reading() as connection:
            return [node for (node,) in connection.execute(_LIVING).fetchall()]

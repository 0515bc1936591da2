"""Leader locks among the nodes of one PostgreSQL: a session's advisory lock, which ends with the
session.

A node that hangs sends nothing, and the server ends a session that is silent for too long: then
another node takes over, and writes of the first one over that session fail.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

import psycopg

from ledger.errors import StartRefused
from ledger.store.postgres.connections import PostgresServer, is_open

SILENT_SECONDS = 10
"""After so long without activity a node loses its leader locks."""

Prepare = Callable[[psycopg.Connection[Any]], None]


def _as_it_is(connection: psycopg.Connection[Any]) -> None:
    """Prepares nothing."""


class PostgresLeaderLock:
    """See `LeaderLock`. Used by one thread."""

    def __init__(
        self,
        server: PostgresServer,
        name: str,
        *,
        prepare: Prepare = _as_it_is,
        silent_seconds: int | None = None,
    ) -> None:
        self._server = server
        self._key = _key_of(f"{server.address.schema}.{name}")
        self._prepare = prepare
        self._silent_seconds = silent_seconds
        self.session: psycopg.Connection[Any] | None = None
        """The session that holds the lock, or asks for it; None before the first call."""
        self._is_ours = False

    @property
    def connection(self) -> psycopg.Connection[Any] | None:
        """The session that holds the lock; None while this node does not hold it."""
        return self.session if self._is_ours else None

    def is_held(self) -> bool:
        """See `LeaderLock.is_held`. False while the server cannot be reached, and once after the
        session was lost, even if no other node acquired the lock meanwhile: cached state may be out
        of date.
        """
        if self.session is not None and not is_open(self.session):
            self.close()
            return False
        try:
            session = self._opened()
            if self._is_ours:
                session.execute("SELECT 1")
            else:
                [(self._is_ours,)] = session.execute(
                    "SELECT pg_try_advisory_lock(%s)", (self._key,)
                ).fetchall()
        except (psycopg.Error, StartRefused):
            self.close()
        return self._is_ours

    def close(self) -> None:
        """See `LeaderLock.close`. Unlocked explicitly, since a session ends some time after its
        close.
        """
        session, is_ours = self.session, self._is_ours
        self.session, self._is_ours = None, False
        if session is not None:
            with suppress(psycopg.Error), session:
                if is_ours:
                    session.execute("SELECT pg_advisory_unlock(%s)", (self._key,))

    def _opened(self) -> psycopg.Connection[Any]:
        if self.session is None:
            session = self._server.connect()
            silent = self._silent_seconds or SILENT_SECONDS
            session.execute(f"SET idle_session_timeout = '{silent}s'".encode())
            self._prepare(session)
            self.session = session
        return self.session


def _key_of(name: str) -> int:
    """64 bits of a name, the key of an advisory lock in its database."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)

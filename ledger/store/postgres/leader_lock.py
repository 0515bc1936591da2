"""Offices among the nodes of one PostgreSQL: a session's advisory lock, which ends with the
session.

A node that hangs stops talking, and the server ends a session that is silent for too long: then
another node takes over, and what the first one still writes over that session fails.
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
"""After so long without a word a node loses its offices."""

Prepare = Callable[[psycopg.Connection[Any]], None]


def _as_it_is(connection: psycopg.Connection[Any]) -> None:
    """Nothing to prepare."""


class PostgresLeaderLock:
    """See `Office`. One thread asks."""

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
        """What asks, and holds the lock once it is ours; None until it was asked."""
        self._is_ours = False

    @property
    def connection(self) -> psycopg.Connection[Any] | None:
        """The session that holds the lock, None while it is not ours."""
        return self.session if self._is_ours else None

    def is_held(self) -> bool:
        """See `Office.is_held`. False while the server cannot be asked, and once after the session
        was lost, though nobody may have taken the office meanwhile: what was known of it is out
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
        """See `Office.close`. Given up in words, since a session ends some time after its close."""
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
    """64 bits of a name, as advisory locks are told apart in a database."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)

"""Learns of what other nodes append: by LISTEN as a hint, and by a poll now and then, since hints
get lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

import psycopg

from ledger.background_loop import BackgroundLoop
from ledger.clock import MAX_SKEW
from ledger.errors import LedgerError, Unavailable
from ledger.store.postgres.clock import DatabaseClock, off
from ledger.store.postgres.connections import PostgresServer, one_line

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""The longest delay until an event of another node is noticed, with or without hints."""
POLLS_PER_CLOCK = 20
"""Polls between two readings of the database's clock: five seconds, or less where much is appended.
"""
JOIN_SECONDS = 10.0


class ChangeListener:
    """Calls `on_change` when another node may have appended, from `start` to `close`. It only
    queues the request; the writer's thread reads what there is.
    """

    def __init__(
        self, server: PostgresServer, on_change: Callable[[], object], clock: DatabaseClock
    ) -> None:
        self._server = server
        self._on_change = on_change
        self._clock = clock
        self._is_warned = False
        self._loop = BackgroundLoop("listener", self._step, retry_seconds=POLL_SECONDS)

    @property
    def skew(self) -> timedelta:
        """How far this machine's clock is ahead of the database's."""
        return self._clock.skew

    def start(self) -> None:
        """Start listening."""
        self._loop.start()

    def close(self) -> None:
        """Stop listening, within one poll's time."""
        self._loop.close(JOIN_SECONDS)

    def _step(self) -> float:
        try:
            self._listen()
        except psycopg.Error as error:
            raise Unavailable(one_line(error)) from error
        finally:
            self._ask()  # hints may have been missed
        return 0.0

    def _listen(self) -> None:
        with self._server.connect() as connection:
            schema = self._server.address.schema
            connection.execute(psycopg.sql.SQL("LISTEN {}").format(_channel(schema)))
            for number in count():
                if self._loop.is_closing:
                    return
                if number % POLLS_PER_CLOCK == 0:
                    self._set_clock(connection)
                self._ask()
                self._loop.recovered()
                for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                    pass

    def _set_clock(self, connection: psycopg.Connection[Any]) -> None:
        self._clock.read(connection)
        is_off = abs(self.skew) > MAX_SKEW
        if is_off and not self._is_warned:
            log.warning("this machine's clock is %s; the database's clock is used", off(self.skew))
        self._is_warned = is_off

    def _ask(self) -> None:
        with suppress(LedgerError):  # closing, or so busy that each batch reads anyway
            self._on_change()


def _channel(schema: str) -> psycopg.sql.Identifier:
    return psycopg.sql.Identifier(f"jobledger.{schema}")

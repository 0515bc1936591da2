"""A long outage must not last longer than it does."""

from __future__ import annotations

from contextlib import closing

import pytest
from pytest import raises

from ledger.errors import Unavailable
from ledger.store.postgres.connections import PostgresServer
from ledger.store.postgres.dsn import PostgresDsn
from tests.faults.causes.proxy import Proxy

QUESTIONS = 5
"""Each waits its whole time, so that a pool which doubles its pauses has a long one before it."""


def ask(server: PostgresServer) -> int:
    with server.reading() as connection:
        [(one,)] = connection.execute("SELECT 1").fetchall()
    return int(one)


@pytest.mark.proof
def test_the_first_query_after_a_long_outage_is_answered(
    proxy: Proxy, postgres_dsns: tuple[str, str]
) -> None:
    server = PostgresServer(PostgresDsn(proxy.leading_to(postgres_dsns[1])))
    server.open_pool()
    with closing(server):
        assert ask(server) == 1
        proxy.cut()
        for _ in range(QUESTIONS):
            with raises(Unavailable):
                ask(server)

        proxy.heal()

        assert ask(server) == 1

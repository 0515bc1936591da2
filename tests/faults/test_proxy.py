"""The fault proxy, in front of a PostgreSQL server: a fault that does not happen proves nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pytest
from pytest import raises

from tests.faults.causes.proxy import COMMITTED, Proxy

PATIENCE_SECONDS = 30.0


@pytest.fixture
def dsn(proxy: Proxy, postgres_dsns: tuple[str, str]) -> str:
    leading = proxy.leading_to(postgres_dsns[1])
    assert urlsplit(leading).port == proxy.port
    return leading


def works(dsn: str) -> bool:
    try:
        with psycopg.connect(dsn, connect_timeout=2) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_a_cut_ends_old_and_new_connections_until_it_is_healed(proxy: Proxy, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        proxy.cut()

        with raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        assert not works(dsn)
    proxy.heal()
    assert works(dsn)


def test_stalled_data_arrives_after_the_proxy_is_healed(proxy: Proxy, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection, ThreadPoolExecutor(1) as pool:
        proxy.cut(stalls=True)
        clients_running = pool.submit(connection.execute, "SELECT 1")
        assert not works(dsn)
        assert not clients_running.done()

        proxy.heal()
        answer = clients_running.result(PATIENCE_SECONDS)

    assert answer.fetchone() == (1,)


def test_the_nth_answer_is_lost_after_its_request_was_executed(proxy: Proxy, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT 1")
        proxy.drop_nth_answer(2)
        connection.execute("SELECT 1")

        with raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

    assert (proxy.dropped_count, proxy.is_armed) == (1, False)


def test_an_answer_can_be_selected_by_its_content(proxy: Proxy, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        proxy.drop_nth_answer(1, holding=COMMITTED)
        connection.execute("SELECT 1")

        with raises(psycopg.OperationalError):
            connection.commit()

    assert proxy.dropped_count == 1

"""A database without free resources: connections, readers, the append lock. Commands are answered
503, readiness reports it, and nodes recover when it is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.demo.waiting import wait_for
from ledger.store.postgres.connections import READERS
from tests.api.harness import Api
from tests.contract.stores import own_name
from tests.faults.causes.shared_nodes import (
    PATIENCE_SECONDS,
    RUNNING,
    a_node,
    require_everything_goes_on,
    require_unavailable,
    wait_until_unready,
)
from tests.support.builders import a_spec
from tests.support.servers.databases import a_database
from tests.support.servers.postgres_server import TestServer, running_server

PLACES = 24
"""Connections that the server accepts."""
ENDED = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = 'jobledger' AND pid <> pg_backend_pid()"
)


@pytest.fixture(scope="module")
def small_server() -> Iterator[TestServer]:
    """A server that accepts few connections."""
    with running_server((f"max_connections={PLACES}",)) as server:
        yield server


@pytest.fixture
def dsn(small_server: TestServer) -> Iterator[str]:
    with a_database(small_server.tcp_dsn, own_name()) as dsn:
        yield dsn


@pytest.fixture
def node(dsn: str, tmp_path: Path) -> Iterator[Api]:
    with a_node(dsn, tmp_path) as node:
        node.ledger.schedule(a_spec(name="running", **RUNNING))
        require_everything_goes_on(node, "before")
        yield node


@contextmanager
def no_connection_left(dsn: str) -> Iterator[None]:
    """Meanwhile other clients use every connection that the server accepts, and the node has
    none.
    """
    with ExitStack() as held, psycopg.connect(dsn, autocommit=True) as knife:

        def are_all_taken() -> bool:
            knife.execute(ENDED)
            try:
                while True:
                    held.enter_context(closing(psycopg.connect(dsn)))
            except psycopg.OperationalError:
                count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobledger'"
                return knife.execute(count).fetchone() == (0,)

        wait_for("A full server", are_all_taken, seconds=PATIENCE_SECONDS)
        yield


@pytest.mark.slow
def test_a_node_without_a_connection_reports_it_and_recovers(node: Api, dsn: str) -> None:
    with no_connection_left(dsn):
        require_unavailable(node, "meanwhile")
        wait_until_unready(node)

    require_everything_goes_on(node, "after")


@pytest.mark.slow
def test_an_exhausted_pool_of_readers_gives_no_wrong_answer(node: Api) -> None:
    server = node.ledger.event_store.server  # type: ignore[attr-defined]
    with ExitStack() as held:
        for _ in range(READERS):
            held.enter_context(server.reading())
        require_unavailable(node, "meanwhile")
        wait_until_unready(node)

    require_everything_goes_on(node, "after")


@contextmanager
def append_lock_of_another(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path = jobledger")
        connection.execute("LOCK TABLE append_lock IN EXCLUSIVE MODE")
        yield connection


@pytest.mark.slow
def test_an_append_lock_that_is_never_granted_is_reported_and_nothing_is_committed(
    node: Api, dsn: str
) -> None:
    with append_lock_of_another(dsn):
        require_unavailable(node, "meanwhile")
        wait_until_unready(node)

    require_everything_goes_on(node, "after")
    names = {job.name for job in node.ledger.job_cache.jobs.values()}
    assert names == {"running", "before", "after"}

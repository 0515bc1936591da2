"""A proxy in front of the database, and a server of its own that a module may stop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.faults.causes.proxy import Proxy, a_proxy
from tests.support.servers.postgres_server import TestServer, running_server


@pytest.fixture
def proxy(postgres_dsns: tuple[str, str]) -> Iterator[Proxy]:
    port = conninfo_to_dict(postgres_dsns[1]).get("port", 5432)
    with a_proxy(int(str(port))) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def own_server() -> Iterator[TestServer]:
    """A server that the tests of a module alone may stop."""
    with running_server() as server:
        yield server

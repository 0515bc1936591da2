"""What every test run shares: Hypothesis draws the same examples each time, or says its seed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.contract.stores import PostgresStoreHarness, own_name
from tests.support.servers.postgres_server import running_server

# `repeatable` is what CI and `make test` use: same code, same examples. `explore` looks for new
# ones (pytest --hypothesis-profile=explore [--hypothesis-seed=N]) and prints how to repeat a find.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, print_blob=True
)
settings.register_profile(
    "explore", derandomize=False, deadline=None, database=None, print_blob=True, max_examples=2_000
)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--api-store",
        choices=("sqlite", "postgres"),
        default="sqlite",
        help="where the ledgers of tests/api are",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a PostgreSQL server, so that `make check` can leave it out."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        parameters = getattr(getattr(item, "callspec", None), "id", "")
        if "postgres_dsns" in fixtures or "postgres" in parameters:
            item.add_marker("postgres")


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.getoption("--hypothesis-seed")
    chosen = "fixed by the code" if settings().derandomize else "chosen anew, printed at a failure"
    return f"hypothesis seed: {chosen if seed is None else seed}"


@pytest.fixture(scope="session")
def postgres_dsns() -> Iterator[tuple[str, str]]:
    """A PostgreSQL server for this run and worker, over its socket and over TCP: one of our own, or
    the one that JOBLEDGER_TEST_DSN names.
    """
    given = os.environ.get("JOBLEDGER_TEST_DSN")
    if given:
        yield given, given
        return
    with running_server() as server:
        yield server.socket_dsn, server.tcp_dsn


@pytest.fixture(scope="session")
def postgres_dsn(postgres_dsns: tuple[str, str]) -> str:
    """The server, over its socket."""
    return postgres_dsns[0]


@pytest.fixture
def postgres_harness(postgres_dsns: tuple[str, str]) -> Iterator[PostgresStoreHarness]:
    """One empty book on PostgreSQL over TCP, for what only several nodes can do."""
    harness = PostgresStoreHarness(postgres_dsns[1], own_name())
    yield harness
    harness.close()

"""One server per test: on SQLite, or with `--api-store=postgres` on PostgreSQL. Tests of queries
about the past run on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from projections.models import runs
from projections.models.gaps import model as gaps
from projections.models.jobs.checkpoints import JobCheckpoints
from projections.models.resumes import model as resumes
from projections.models.storms import model as storms
from tests.api.harness import EVERY, Api, serving
from tests.contract.stores import own_name
from tests.support.servers.databases import a_database

ON_BOTH = ("answers", "blame", "diff", "past", "resumes_and_gaps", "storms", "what_if", "why")
"""The test files of those queries, without `test_`."""
FRAMED = (JobCheckpoints(EVERY), runs, storms, resumes, gaps)
"""The read models with many checkpoints."""
STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.module.__name__.rpartition(".test_")[2]
    if "store" in metafunc.fixturenames and name in ON_BOTH:
        metafunc.parametrize("store", STORES, indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The settings of a server for its database."""
    with settings_of(request, request.config.getoption("--api-store")) as settings:
        yield settings


@contextmanager
def settings_of(request: pytest.FixtureRequest, default: str) -> Iterator[dict[str, Any]]:
    """The settings for the database that a fixture's parameter names."""
    if getattr(request, "param", default) == "sqlite":
        yield {}
        return
    servers = request.getfixturevalue("postgres_dsns")
    with a_database(servers[1], own_name()) as dsn:
        yield {"dsn": dsn}


@pytest.fixture
def api(tmp_path: Path, store: dict[str, Any]) -> Iterator[Api]:
    with serving(tmp_path, **store) as server:
        yield server


@pytest.fixture
def framed(tmp_path: Path, store: dict[str, Any]) -> Iterator[Api]:
    """A server with many checkpoints."""
    with serving(tmp_path, FRAMED, **store) as server:
        yield server

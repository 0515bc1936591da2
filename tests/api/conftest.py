"""One server per test: on SQLite, or with `--api-store=postgres` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from projections import gaps, resumes, runs, storms
from projections.framed_jobs import FramedJobs
from tests.api.harness import Api, serving
from tests.api.life import EVERY
from tests.contract.shelves import own_name
from tests.flow.databases import a_database


@pytest.fixture
def api(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Api]:
    with ExitStack() as closing:
        settings: dict[str, Any] = {}
        if request.config.getoption("--api-store") == "postgres":
            servers = request.getfixturevalue("postgres_dsns")
            settings["dsn"] = closing.enter_context(a_database(servers[1], own_name()))
        yield closing.enter_context(serving(tmp_path, **settings))


@pytest.fixture
def framed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Api]:
    with ExitStack() as closing:
        settings: dict[str, Any] = {}
        if request.config.getoption("--api-store") == "postgres":
            servers = request.getfixturevalue("postgres_dsns")
            settings["dsn"] = closing.enter_context(a_database(servers[1], own_name()))
        models = (FramedJobs(EVERY), runs, storms, resumes, gaps)
        yield closing.enter_context(serving(tmp_path, models, **settings))

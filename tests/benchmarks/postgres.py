"""What `make bench` measures on PostgreSQL: a server of its own from the tests' wheel, or the one
that JOBLEDGER_TEST_DSN names; durable answers, nodes in processes of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application

from api.config.gc_tuning import tune_garbage_collector
from ledger import Ledger
from projections.read_models import ReadModels
from tests.benchmarks.figures import (
    WAITING,
    Figure,
    load_modify_save,
    noop_runs,
    schedule_all,
    specs,
    toggle_all,
)
from tests.support.servers.databases import a_database
from tests.support.servers.postgres_server import running_server

SECONDS = 5.0
ROUNDS = 3
"""One node and two are measured by turns, so that what a machine does besides meets both."""
_numbers = count(1)


@contextmanager
def a_server() -> Iterator[str]:
    """The address of the server that is measured."""
    given = os.environ.get("JOBLEDGER_TEST_DSN")
    if given:
        yield given
        return
    with running_server(("shared_buffers=256MB", "max_wal_size=4GB")) as server:
        yield server.tcp_dsn


def a_name() -> str:
    return f"bench_{os.getpid()}_{next(_numbers)}"


def open_both(dsn: str) -> tuple[Ledger, ReadModels]:
    """A node and its projections, as `serve` with JOBLEDGER_PROJECTIONS=process has them."""
    ledger = Ledger.open(dsn)
    read_models = ReadModels.open(ledger, mode="process")
    read_models.start()
    tune_garbage_collector()
    return ledger, read_models


# -- commands -----------------------------------------------------------------------------------


def library_commands(dsn: str, seconds: float = SECONDS) -> float:
    """Load, modify, save per second with the library's PostgreSQL recorder, one after the other."""
    parts = urlsplit(dsn)
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port or 5432),
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": parts.password or "unused",
    }
    application: Application[UUID] = Application(env)
    rate = load_modify_save(application, seconds)
    application.close()
    return rate


def node_commands(dsn: str, name: str, gate: Barrier | None = None) -> float:
    """Pauses and resumes per second of one node, each durable when answered, 256 waiting."""
    ledger, read_models = open_both(dsn)
    ids = schedule_all(ledger, specs(WAITING, {"kind": "every", "interval_seconds": 3600}, name))
    if gate is not None:
        gate.wait()
    rate = toggle_all(ledger, ids, SECONDS)
    read_models.close()
    ledger.close()
    return rate


def figure_commands(_: Path) -> list[Figure]:
    """Floors: five times the library's own load-modify-save; two nodes not slower than one."""
    with a_server() as server:
        with a_database(server, a_name()) as dsn:
            library = library_commands(dsn)
        rounds = [one_and_both(server) for _ in range(ROUNDS)]
    one, both = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    ratio = one / library
    return [
        Figure("PostgreSQL, library: load, modify, save, one by one", f"{library:,.0f}/s"),
        Figure(
            "PostgreSQL, durable commands, 256 waiting, projections on",
            f"{one:,.0f}/s = {ratio:.1f} × the library",
            "≥ 5 ×",
            ratio >= 5,
        ),
        Figure(
            "PostgreSQL, the same from two nodes together",
            f"{both:,.0f}/s = {both / one:.2f} × one node",
            "≥ 1 ×",
            both >= one,
        ),
    ]


def one_and_both(server: str) -> tuple[float, float]:
    """Commands per second of one node, and of two together, each node a process of its own."""
    with a_database(server, a_name()) as dsn:
        [one] = together(dsn, 1)
    with a_database(server, a_name()) as dsn:
        return one, sum(together(dsn, 2))


def together(dsn: str, nodes: int) -> list[float]:
    """What each of several nodes reaches, all at once, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(nodes), context.SimpleQueue()
    processes = [
        context.Process(target=_one_of_many, args=(dsn, f"node {n}", gate, results))
        for n in range(nodes)
    ]
    for process in processes:
        process.start()
    rates = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return rates


def _one_of_many(dsn: str, name: str, gate: Barrier, results: Any) -> None:
    results.put(node_commands(dsn, name, gate))


# -- runs ---------------------------------------------------------------------------------------


def figure_runs(_: Path, *, seconds: float = 6.0) -> list[Figure]:
    """Noop runs per second with every event kept: jobs that are due again as soon as they ran."""
    with a_server() as server, a_database(server, a_name()) as dsn:
        rate, behind = noop_runs(*open_both(dsn), seconds=seconds)
    return [
        Figure(
            "PostgreSQL, noop runs, every event kept, projections on",
            f"{rate:,.0f}/s",
            "≥ 2,500/s",
            rate >= 2500,
        ),
        Figure("PostgreSQL, events the projections were behind at the end", f"{behind:,}"),
    ]

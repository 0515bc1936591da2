"""How cost grows on PostgreSQL with nodes, jobs and events: `python -m tests.benchmarks.scale`.
Takes long at full size; docs/scale.md holds what it printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from ledger import Dispatcher, ExecutorSettings, Ledger
from ledger.store.audit_query import AuditQuery
from ledger.store.postgres.dsn import SCHEMA, PostgresDsn
from projections.models.jobs.queries import JobFilter
from projections.read_models import ReadModels
from tests.benchmarks.figures import EVERY_HOUR, SECRET, schedule_all, specs
from tests.benchmarks.postgres import a_name, a_server, together
from tests.support.read_models import jobs_in
from tests.support.servers.databases import a_database

SECONDS = 6.0
ASKED = 200
"""How often a question is asked for its median and its 99th of a hundred."""
OFTEN = {"kind": "every", "interval_seconds": 1}
HISTORY_JOBS = 1000
"""Jobs that a long history is made of."""
AT_ONCE = 250_000
"""Events that are written in one transaction while a long history is made."""
_GROW = """
INSERT INTO {schema}.events (position, stream, version, topic, state, recorded_at, actor, kind,
                             source, correlation_id, failure_class, chain)
SELECT %(last)s + number, model.stream, model.version + 2 * round + model.step, model.topic,
       model.state, %(at)s + number, model.actor, model.kind, model.source, NULL, NULL, model.chain
FROM (SELECT row_number() OVER (ORDER BY round, stream, step) AS number, round, model.*
      FROM generate_series(%(first)s, %(first)s + %(rounds)s - 1) AS round, model) AS model
"""

Row = dict[str, str]


def main() -> None:
    """Measure what was asked for, and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--jobs", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--events", type=int, nargs="*", default=[1_000_000, 10_000_000])
    asked = parser.parse_args()
    show("nodes", [in_own_process(of_nodes, count) for count in asked.nodes])
    show("jobs", [in_own_process(of_jobs, count) for count in asked.jobs])
    show("events", [in_own_process(of_events, count) for count in asked.events])


def show(what: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    table = Table(*rows[0], title=f"growth with {what}")
    for row in rows:
        table.add_row(*row.values())
    Console(width=150).print(table)


def in_own_process(measure: Callable[[int], Row], count: int) -> Row:
    """One row, measured in a fresh interpreter."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, count).result()


# -- nodes --------------------------------------------------------------------------------------


def of_nodes(count: int) -> Row:
    """Commands and noop runs per second of so many nodes together, each a process."""
    with a_server() as server:
        with a_database(server, a_name()) as dsn:
            commands = sum(together(dsn, count))
        with a_database(server, a_name()) as dsn:
            noops = runs_together(dsn, count)
    return {
        "nodes": str(count),
        "durable commands/s": f"{commands:,.0f}",
        "noop runs/s": f"{noops:,.0f}",
    }


def runs_together(dsn: str, nodes: int) -> float:
    """Noop runs per second, every event kept, as the book saw them."""
    context = multiprocessing.get_context("spawn")
    gate, end = context.Barrier(nodes + 1), context.Barrier(nodes + 1)
    with Ledger.open(dsn) as ledger:
        schedule_all(ledger, specs(12_000, OFTEN))
        processes = [
            context.Process(target=_dispatching, args=(dsn, gate, end)) for _ in range(nodes)
        ]
        for process in processes:
            process.start()
        gate.wait()
        time.sleep(2.0)
        first, began = ledger.event_store.tail_position(), time.perf_counter()
        time.sleep(SECONDS)
        rate = (ledger.event_store.tail_position() - first) / 2 / (time.perf_counter() - began)
        end.wait()
        for process in processes:
            process.join()
    return rate


def _dispatching(dsn: str, gate: Barrier, end: Barrier) -> None:
    with Ledger.open(dsn) as ledger:
        dispatcher = Dispatcher(ledger, ExecutorSettings(SECRET))
        dispatcher.start()
        gate.wait()
        end.wait()
        dispatcher.drain(10)


# -- jobs ---------------------------------------------------------------------------------------


def of_jobs(count: int) -> Row:
    """What a node with so many jobs needs."""
    with a_server() as server, a_database(server, a_name()) as dsn:
        with Ledger.open(dsn) as ledger:
            began = time.perf_counter()
            schedule_all(ledger, specs(count, EVERY_HOUR))
            scheduling = count / (time.perf_counter() - began)
        return {"jobs": f"{count:,}", "scheduled/s": f"{scheduling:,.0f}", **as_opened(dsn)}


def as_opened(dsn: str) -> Row:
    """A node that is started on what is there, in a process of its own so that its memory tells."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_opened, dsn).result()


def held_mib() -> float:
    """What this process holds in memory now, in MiB: what it held at most may be its parent's."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _opened(dsn: str) -> Row:
    before, began = held_mib(), time.perf_counter()
    ledger = Ledger.open(dsn)
    opening = time.perf_counter() - began
    memory = held_mib() - before
    ids = [job.id for job in ledger.job_cache.snapshot()[:ASKED]]
    command = median_ms(lambda number: ledger.pause(ids[number]))
    read_models = ReadModels.open(ledger, mode="exclusive")
    began, before_events = time.perf_counter(), read_models.position
    read_models.catch_up()
    copying = (read_models.position - before_events) / (time.perf_counter() - began)
    page = median_ms(lambda number: jobs_in(read_models, JobFilter(q=f"job {number}", limit=50)))
    listing = median_ms(lambda _: jobs_in(read_models, JobFilter(status="active", limit=50)))
    read_models.close()
    ledger.close()
    return {
        "node starts in": f"{opening:.1f} s",
        "memory": f"{memory:,.0f} MiB",
        "a command": command,
        "page of 50 active": listing,
        "search by name": page,
        "projections filled": f"{copying:,.0f} events/s",
    }


# -- events -------------------------------------------------------------------------------------


def of_events(count: int) -> Row:
    """Questions to a book of so many events. The history is written by the database itself out of
    real events, with their chain values left as they were: it can be read and built on, and would
    not be verified.
    """
    with a_server() as server, a_database(server, a_name()) as dsn:
        with Ledger.open(dsn) as ledger:
            ids = schedule_all(ledger, specs(HISTORY_JOBS, OFTEN))
            dispatcher = Dispatcher(ledger, ExecutorSettings(SECRET))
            dispatcher.start()
            while ledger.event_store.tail_position() < 6 * HISTORY_JOBS:
                time.sleep(0.05)
            dispatcher.drain(10)
            ledger.amend(ids[0], {"tags": ["rare"]})
            last = ledger.event_store.tail_position()
        grow(dsn, last, count)
        return {"events": f"{count:,}", **questions(dsn, ids)}


def grow(dsn: str, last: int, count: int) -> None:
    """Add rounds of one run for each job until there are so many events."""
    schema = sql.Identifier(SCHEMA)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("SET search_path = {}").format(schema))
        connection.execute(
            "CREATE TEMP TABLE model AS SELECT stream, last - 1 AS version, topic, state, actor, "
            "kind, source, chain, CASE topic WHEN 'job.run_started' THEN 0 ELSE 1 END AS step "
            "FROM (SELECT DISTINCT ON (stream, topic) *, (SELECT max(version) FROM events AS "
            "others WHERE others.stream = events.stream) AS last FROM events WHERE topic IN "
            "('job.run_started', 'job.run_succeeded') ORDER BY stream, topic) AS newest"
        )
        [(at, width)] = connection.execute(
            "SELECT (SELECT max(recorded_at) FROM events), (SELECT count(*) FROM model)"
        ).fetchall()
        rounds, first = AT_ONCE // width, 1
        while last < count:
            values = {"last": last, "at": at, "first": first, "rounds": rounds}
            done = connection.execute(sql.SQL(_GROW).format(schema=schema), values).rowcount
            last, at, first = last + done, at + done, first + rounds
        connection.execute("VACUUM ANALYZE events")


def questions(dsn: str, ids: Sequence[UUID]) -> Row:
    with psycopg.connect(dsn) as connection:
        [(size,)] = connection.execute(
            f"SELECT pg_total_relation_size('{SCHEMA}.events')"
        ).fetchall()
    ledger = Ledger.open_read_only(PostgresDsn(dsn))
    end = ledger.event_store.tail_position()
    step = end // (ASKED + 1)

    def ask(**query: Any) -> str:
        return median_ms(
            lambda _: ledger.queries.audit(AuditQuery(limit=50, order="desc", **query))
        )

    row = {
        "bytes/event": f"{size / end:,.0f}",
        "newest 50": ask(),
        "at a deep cursor": median_ms(
            lambda n: ledger.queries.audit(AuditQuery(limit=50, cursor=step * n))
        ),
        "rare topic": ask(topics=("job.amended",)),
        "one job": median_ms(
            lambda n: ledger.queries.audit(AuditQuery(limit=50, stream=ids[n], order="desc"))
        ),
        "an instant": median_ms(
            lambda n: ledger.event_store.position_at(end * 1_000_000 // (n + 1))
        ),
    }
    ledger.close()
    return row


def median_ms(ask: Callable[[int], object]) -> str:
    """Median and 99th of a hundred of a question, in ms."""
    taken = []
    for number in range(ASKED):
        began = time.perf_counter()
        ask(number)
        taken.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(taken):.1f} / {sorted(taken)[int(ASKED * 0.99) - 1]:.1f} ms"


if __name__ == "__main__":
    main()

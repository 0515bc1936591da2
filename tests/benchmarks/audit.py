"""`make bench-audit`: how long queries on a long history take, of the audit and of the past. The
history is generated in a temporary folder; limits must be met.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from ledger import Ledger
from ledger.clock import rfc3339
from ledger.store.audit_query import AuditQuery
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.sqlite.folder import READ_MODELS_FILE
from projections import Queries
from projections.models.jobs.queries import JobFilter
from projections.read_models import ReadModels
from projections.what_if.policy_change import PolicyChange
from projections.what_if.question import WhatIfQuery, what_if
from tests.benchmarks.export import PART, show_export
from tests.benchmarks.history import (
    CORRELATION,
    RARE_ACTOR,
    RARE_CLASS,
    RARE_TOPIC_ACTOR,
    USERS,
    History,
    models,
    write_postgres,
    write_sqlite,
)
from tests.benchmarks.postgres import a_name, a_server
from tests.support.servers.databases import a_database

REPEATS = 200
"""How often each query runs."""
POSITIONS = 20
PAGE_MS = 10.0
"""The 99th percentile for a page of 50."""
PAST_MS = 1000.0
WHAT_IF_MS = 5000.0
SIMULATIONS = 5

screen = Console(width=130)


def main() -> int:
    """Write the history, run the queries, print; 1 when a limit was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.audit", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument(
        "--past", action="store_true", help="build the read models and run as_of and what-if, too"
    )
    parser.add_argument("--export", action="store_true", help="export it, too (SQLite only)")
    parser.add_argument("--dir", type=Path, help="where (default: a temporary folder)")
    options = parser.parse_args()
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(dir=options.dir)))
        history = History(options.events, options.jobs, models(folder / "model"))
        began = time.perf_counter()
        ledger, open_read_models = closing.enter_context(
            an_event_store(options.store, folder, history)
        )
        screen.print(f"{options.events:,} events written in {time.perf_counter() - began:,.0f} s")
        is_met = show("a page of 50 of the audit", PAGE_MS, audit_rows(ledger, history))
        if options.export:
            tenth = rfc3339(ledger.events.recorded_at(options.events // PART))
            is_met &= show_export(screen, folder / "data", options.events, tenth)
        if options.past:
            read_models = closing.enter_context(filled(open_read_models))
            is_met &= show("the past of many jobs", PAST_MS, past_rows(ledger, read_models))
            is_met &= show("what-if over all of it", WHAT_IF_MS, what_if_rows(ledger, read_models))
    return int(not is_met)


@contextmanager
def an_event_store(
    store: str, folder: Path, history: History
) -> Iterator[tuple[Ledger, Callable[[], ReadModels]]]:
    """A ledger with the history, and how its read models are opened."""
    if store == "sqlite":
        write_sqlite(folder, history)
        ledger = Ledger.open_read_only(folder / "data")
        yield ledger, lambda: ReadModels.open(ledger, folder / READ_MODELS_FILE)
        ledger.close()
        return
    with a_server() as server, a_database(server, a_name()) as dsn:
        write_postgres(dsn, history)
        ledger = Ledger.open_read_only(PostgresDsn(dsn))
        yield ledger, lambda: ReadModels.open(ledger, mode="exclusive")
        ledger.close()


@contextmanager
def filled(open_read_models: Callable[[], ReadModels]) -> Iterator[ReadModels]:
    """The read models, up to the last event."""
    began, read_models = time.perf_counter(), open_read_models()
    read_models.catch_up()
    screen.print(f"read models built in {time.perf_counter() - began:,.0f} s")
    yield read_models
    read_models.close()


def show(title: str, limit_ms: float, rows: Iterator[tuple[str, list[float]]]) -> bool:
    """A table of the measurements; whether every 99th percentile is within the limit."""
    table = Table("query", "median ms", "p99 ms", "", title=f"{title}, p99 within {limit_ms:g}")
    is_met = True
    for what, taken in rows:
        taken.sort()
        p99 = taken[int(len(taken) * 0.99) - 1]
        is_met &= p99 <= limit_ms
        verdict = "met" if p99 <= limit_ms else "MISSED"
        table.add_row(what, f"{taken[len(taken) // 2]:.2f}", f"{p99:.2f}", verdict)
    screen.print(table)
    return is_met


def filters(ledger: Ledger, history: History) -> dict[str, dict[str, Any]]:
    """Every filter alone, with rare and common values, and common combinations."""
    end = ledger.event_store.tail_position()
    return {
        "nothing": {},
        "actor, common": {"actor": USERS[1]},
        "actor, rare": {"actor": RARE_ACTOR},
        "actor, the dispatcher": {"actor": "dispatcher"},
        "kind, common": {"kind": "user"},
        "kind, rare": {"kind": "agent"},
        "topic, common": {"topics": ("job.run_succeeded",)},
        "topic, rare": {"topics": ("job.force_resumed",)},
        "topics, rare and common": {"topics": ("job.force_resumed", "job.run_failed")},
        "job": {"stream": history.ids[7]},
        "job, the busiest": {"stream": history.ids[0]},
        "source, common": {"source": "cli"},
        "source, rare": {"source": "mcp"},
        "correlation_id": {"correlation_id": CORRELATION},
        "failure_class, common": {"failure_class": "timeout"},
        "failure_class, rare": {"failure_class": RARE_CLASS},
        "since": {"after_position": end // 3},
        "until": {"until_position": end // 3},
        "since and until": {"after_position": end // 3, "until_position": end // 2},
        "actor and time": {
            "actor": USERS[1], "after_position": end // 3, "until_position": end // 2,
        },
        "actor and rare topic": {"actor": RARE_TOPIC_ACTOR, "topics": ("job.force_resumed",)},
        "rare actor and common topic": {"actor": RARE_ACTOR, "topics": ("job.amended",)},
    }  # fmt: skip


def audit_rows(ledger: Ledger, history: History) -> Iterator[tuple[str, list[float]]]:
    random, end = Random(3), ledger.event_store.tail_position()
    for what, given in filters(ledger, history).items():
        for order in ("asc", "desc"):
            first = AuditQuery(**given, order=order, limit=50)
            yield f"{what}, {order}", timed(lambda _, q=first: ledger.queries.audit(q))
        cursors = [random.randrange(end) for _ in range(REPEATS)]
        deep = AuditQuery(**given, limit=50)
        yield (
            f"{what}, deep",
            timed(lambda n, q=deep, at=cursors: ledger.queries.audit(q.following(at[n]))),
        )
    instants = [ledger.events.recorded_at(random.randrange(end) + 1) for _ in range(REPEATS)]
    yield "the position of an instant", timed(lambda n: ledger.events.position_at(instants[n]))


def past_rows(ledger: Ledger, read_models: ReadModels) -> Iterator[tuple[str, list[float]]]:
    """Another position each time, so that nothing is cached but for the last row."""
    random, end = Random(4), ledger.event_store.tail_position()
    positions = [random.randrange(end // 10, end) + 1 for _ in range(POSITIONS)]
    queries, last, failed = (
        Queries(ledger, read_models),
        positions[-1],
        JobFilter(failure_class="timeout"),
    )
    yield "jobs of another", timed(lambda n: queries.jobs(failed, as_of=positions[n]), POSITIONS)
    yield "summary of another", timed(lambda n: queries.summary(as_of=positions[n]), POSITIONS)
    yield "storms of another", timed(lambda n: queries.storms(as_of=positions[n]), POSITIONS)
    yield "the next page of the last", timed(lambda _: queries.jobs(failed, as_of=last), POSITIONS)


def what_if_rows(ledger: Ledger, read_models: ReadModels) -> Iterator[tuple[str, list[float]]]:
    """Policies that would have tripped always, never, and by other classes."""
    end = ledger.event_store.tail_position()
    for policy in ({"trip_after": 1}, {"trip_after": 1_000_000}, {"counts": ["timeout"]}):
        query = WhatIfQuery(PolicyChange(policy), 0, end)
        yield (
            str(policy),
            timed(lambda _, a=query: what_if(ledger.events, read_models, a), SIMULATIONS),
        )


def timed(query: Callable[..., object], count: int = REPEATS) -> list[float]:
    """How long each call took, in ms."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        query(number)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


if __name__ == "__main__":
    sys.exit(main())

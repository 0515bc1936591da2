"""The child process that updates the read models: `python -m projections.engine.process`.

The first line on standard input is JSON: `data` and `file` of a ledger on SQLite, or `dsn` of one
on PostgreSQL. Each further line says that there are new events; each line on standard output has
the models' statuses as JSON. The process ends with its standard input.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from ledger.application.ledger import Ledger
from ledger.store.postgres.dsn import PostgresDsn
from projections.engine.runner import Runner
from projections.engine.threads import ModelRunner, RunnerThread
from projections.models import MODELS
from projections.stores.sqlite import SQLiteReadModelStore

REPORT_SECONDS = 0.25
"""How long statuses may be out of date when a notification was missed."""


def main() -> None:
    """Update the read models until standard input ends."""
    settings = orjson.loads(sys.stdin.buffer.readline())
    with ExitStack() as closing:
        runner = _runner(settings, closing)
        threading.Thread(target=_report, args=(runner,), daemon=True).start()
        runner.start()
        closing.callback(runner.close)
        for _ in sys.stdin.buffer:
            runner.wake(0)


def _runner(settings: dict[str, Any], closing: ExitStack) -> ModelRunner:
    if "dsn" not in settings:
        ledger = closing.enter_context(Ledger.open_read_only(settings["data"]))
        store = SQLiteReadModelStore(Path(settings["file"]))
        closing.callback(store.close)
        return RunnerThread(Runner(ledger.events, store, MODELS))
    from projections.engine.elected import ElectedRunner  # the driver is slow to import
    from projections.stores.postgres import PostgresReadModelStore

    address = PostgresDsn(**settings["dsn"])
    ledger = closing.enter_context(Ledger.open_read_only(address))
    shared = PostgresReadModelStore(address)
    closing.callback(shared.close)
    return ElectedRunner(shared, partial(Runner, ledger.events, shared, MODELS), MODELS)


def _report(runner: ModelRunner) -> None:
    """Write a line of statuses whenever they have changed."""
    written = None
    while True:
        with runner.moved:
            if runner.statuses() == written:
                runner.moved.wait(REPORT_SECONDS)
        statuses = list(runner.statuses())
        if statuses != written:
            written = statuses
            sys.stdout.buffer.write(orjson.dumps(statuses) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

"""The process that keeps the copies: `python -m projections.engine.process`.

The first line on standard input names the data folder and the copies file, as JSON. Reads the book
without owning it. A further line on standard input says that the book has grown; every line
on standard output is the models' standings as JSON. When standard input ends, so does the keeper.
"""

from __future__ import annotations

import os
import selectors
import sys
from pathlib import Path

import orjson

from ledger.application.ledger import Ledger
from ledger.errors import LedgerError
from projections.engine.runner import Runner
from projections.engine.threads import RETRY_SECONDS
from projections.read_models import MODELS
from projections.stores.sqlite import SQLiteReadModelStore

READ_BYTES = 65_536


def main() -> None:
    """Follow the book until standard input ends."""
    what = orjson.loads(os.read(sys.stdin.fileno(), READ_BYTES).partition(b"\n")[0])
    keep(what["data"], what["copies"])


def keep(data: str, read_models: str) -> None:
    """Keep the copies of one folder."""
    ledger = Ledger.open_read_only(data)
    store = SQLiteReadModelStore(Path(read_models))
    runner = Runner(ledger.events, store, MODELS)
    tell(runner)
    catch_up(runner)
    while wait_for_news(runner):
        catch_up(runner)
    store.close()
    ledger.close()


def catch_up(runner: Runner) -> None:
    """Take in all there is, saying after each step how far it is; trouble in the store waits for
    the next news.
    """
    try:
        while runner.run_once():
            tell(runner)
    except LedgerError as error:
        print(error, file=sys.stderr)
    tell(runner)  # a model that stops before its first event moves nothing


def tell(runner: Runner) -> None:
    """One line of standings."""
    sys.stdout.buffer.write(orjson.dumps(runner.standings()) + b"\n")
    sys.stdout.buffer.flush()


def wait_for_news(runner: Runner) -> bool:
    """Wait for a line, at most so long, and then let stopped models try again; False when there
    will be none any more.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        if not selector.select(RETRY_SECONDS):
            runner.retry_broken()
            return True
    return bool(os.read(sys.stdin.fileno(), READ_BYTES))


if __name__ == "__main__":
    main()

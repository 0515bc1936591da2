"""The process that stands for the office of keeping the copies: `python -m
projections.engine.elected_process`, started by ProcessFollower.

The first line on standard input is the ledger's address, as JSON; a further line says that the book
has grown. Every line on standard output is the models' standings as JSON, of whichever node keeps
them. When standard input ends, so does the keeper.
"""

from __future__ import annotations

import sys
import threading
from functools import partial

import orjson

from ledger.application.ledger import Ledger
from ledger.store.postgres.dsn import PostgresDsn
from projections.engine.elected import LOOK_SECONDS, ElectedRunner
from projections.engine.runner import Runner
from projections.read_models import MODELS
from projections.stores.postgres import PostgresReadModelStore


def main() -> None:
    """Follow the book until standard input ends."""
    address = PostgresDsn(**orjson.loads(sys.stdin.buffer.readline()))
    ledger = Ledger.open_read_only(address)
    store = PostgresReadModelStore(address)
    make_runner = partial(Runner, ledger.events, store, MODELS)
    follower = ElectedRunner(store, make_runner, MODELS)
    threading.Thread(target=tell_moves, args=(follower,), daemon=True).start()
    follower.start()
    for _ in sys.stdin.buffer:
        follower.wake(0)
    follower.close()
    store.close()
    ledger.close()


def tell_moves(follower: ElectedRunner) -> None:
    """A line of standings whenever the copies may have moved, and now and then besides: a move
    while a line is written must not stay untold.
    """
    while True:
        with follower.moved:
            follower.moved.wait(LOOK_SECONDS)
        sys.stdout.buffer.write(orjson.dumps(follower.standings()) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

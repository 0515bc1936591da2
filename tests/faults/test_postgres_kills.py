"""Backends that die in the middle of appends (INVARIANTS D5): an answer is true or honestly
unknown, nothing is lost, nothing is kept twice, nobody is told of a conflict that was none.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from uuid import UUID

import psycopg
import pytest

from ledger import Ledger
from ledger.errors import LedgerError, OutcomeUnknown, Unavailable
from ledger.store.freezing import freeze
from ledger.store.verification import verify_book
from tests.builders import SeededChance, a_spec
from tests.contract.shelves import PostgresShelf

KILLS = 200
NODES = 2
ASKERS = 4
SEED = 20260303
PAUSES_SECONDS = (0.0, 0.0005, 0.001, 0.002, 0.004)
CUT = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = ("
    "SELECT pid FROM pg_locks WHERE relation = 'turn'::regclass ORDER BY random() LIMIT 1)"
)
"""Ends one of the backends that append, or wait for their turn, right now."""


@pytest.fixture
def nodes(postgres_shelf: PostgresShelf) -> Iterator[list[Ledger]]:
    opened = [
        Ledger.open(postgres_shelf.address, chance=SeededChance(seed)) for seed in range(NODES)
    ]
    yield opened
    for ledger in opened:
        ledger.close()


class Asker:
    """Schedules jobs and tags them, one after the other, and remembers what it was told."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.ledger = ledger
        self.number = number
        self.kept: list[UUID] = []
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self.wrong: list[LedgerError] = []

    def ask_until(self, is_over: threading.Event) -> None:
        count = 0
        while not is_over.is_set():
            count += 1
            self._schedule(f"{self.number}-{count}")

    def _schedule(self, name: str) -> None:
        try:
            answer = self.ledger.schedule(a_spec(name=name))
        except OutcomeUnknown:
            self.unknown.add(name)
        except Unavailable:
            self.refused.add(name)
        except LedgerError as error:
            self.wrong.append(error)
        else:
            self.kept.append(answer.job_id)


def cut_until_enough(dsn: str, schema: str) -> int:
    """End backends that append until so many are dead."""
    chance, pause, killed = Random(SEED), threading.Event(), 0
    with psycopg.connect(dsn, autocommit=True) as knife:
        knife.execute(f"SET search_path = {schema}".encode())
        while killed < KILLS:
            row = knife.execute(CUT).fetchone()
            killed += row[0] if row else 0
            pause.wait(chance.choice(PAUSES_SECONDS))
    return killed


@pytest.mark.slow
def test_killed_backends_lose_nothing_double_nothing_and_conflict_with_nobody(
    postgres_shelf: PostgresShelf, nodes: list[Ledger]
) -> None:
    print(f"seed {SEED}")
    askers = [Asker(nodes[number % NODES], number) for number in range(ASKERS)]
    is_over = threading.Event()

    with ThreadPoolExecutor(ASKERS) as pool:
        asking = [pool.submit(asker.ask_until, is_over) for asker in askers]
        try:
            killed = cut_until_enough(postgres_shelf.address.dsn, postgres_shelf.address.schema)
        finally:
            is_over.set()
        for one in asking:
            one.result()

    facts = [
        fact
        for fact in postgres_shelf.mapper.to_facts(postgres_shelf.book.read(after=0, limit=10**6))
        if fact.topic == "job.scheduled"
    ]
    names = Counter(fact.data["name"] for fact in facts)
    kept = {job_id for asker in askers for job_id in asker.kept}
    refused = {name for asker in askers for name in asker.refused}
    unknown = {name for asker in askers for name in asker.unknown}
    print(f"killed {killed}, kept {len(kept)}, refused {len(refused)}, unknown {len(unknown)}")
    assert [error for asker in askers for error in asker.wrong] == []
    assert max(names.values()) == 1
    assert kept <= {fact.stream for fact in facts}
    assert not refused & set(names)
    assert len(facts) - len(kept) <= len(unknown)
    assert verify_book(postgres_shelf.book).is_sound
    for ledger in nodes:
        ledger.schedule(a_spec(name=f"after all {id(ledger)}"))
        assert_heads_are_folds(ledger)


def assert_heads_are_folds(ledger: Ledger) -> None:
    for head in ledger.heads.snapshot():
        assert freeze(head) == freeze(ledger.fold(head.id, upto=head.version))

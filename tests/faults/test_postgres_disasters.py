"""A primary that is gone, a disk that is full, a turn that somebody else keeps: refused truly, and
on it goes by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from signal import SIGQUIT
from uuid import UUID

import psycopg
import pytest

from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.errors import StorageFull, Unavailable
from ledger.store.address import SCHEMA, Address
from ledger.store.migrating import migrate
from ledger.store.verification import verify_book
from tests.builders import a_spec, an_id
from tests.contract.postgres_server import TestServer, running_server
from tests.contract.shelves import PostgresShelf
from tests.faults.full_disk import SmallDisk, a_small_disk
from tests.faults.standby import a_pair, address_of, promote

PATIENCE_SECONDS = 60.0
TIMES_FULL = 20


def keeps(ledger: Ledger, name: str) -> UUID | None:
    """The job, or None while the ledger cannot be asked."""
    try:
        return ledger.schedule(a_spec(name=name)).job_id
    except Unavailable:
        return None


@pytest.mark.slow
def test_a_node_goes_over_to_the_standby_and_nothing_answered_is_lost() -> None:
    with a_pair() as (primary, standby):
        address = address_of(primary, standby)
        migrate(Address(address), new_id=an_id(1))
        with Ledger.open(address) as ledger:
            answered = {ledger.schedule(a_spec(name=f"job {n}")).job_id for n in range(50)}

            primary.stop(SIGQUIT)
            with pytest.raises(Unavailable):
                ledger.schedule(a_spec(name="meanwhile"))
            promote(standby)
            wait_for("a command", lambda: keeps(ledger, "after all"), seconds=PATIENCE_SECONDS)

            kept = {item.originator_id for item in ledger.book.read(after=0, limit=1000)}
            assert answered <= kept
            assert len([job for job in ledger.heads.snapshot() if job.name == "after all"]) == 1
            assert verify_book(ledger.book).is_sound


@pytest.mark.slow
def test_a_full_disk_is_told_and_what_was_answered_is_what_is_kept() -> None:
    try:
        with running_server() as server, a_small_disk(2048) as disk:
            fill_again_and_again(disk, server)
    except PermissionError as error:
        pytest.skip(f"no file system may be mounted here: {error}")


def fill_again_and_again(disk: SmallDisk, server: TestServer) -> None:
    """A disk that gets full and is given room, so many times."""
    migrate(Address(server.tcp_dsn), new_id=an_id(1))
    disk.hold_events(server.tcp_dsn, SCHEMA)
    with Ledger.open(server.tcp_dsn) as ledger:
        answered: set[UUID] = set()
        for times in range(TIMES_FULL):
            disk.fill()
            answered |= kept_until_full(ledger, times)
            disk.resize(2048 + 256 * (times + 1))
            answered.add(ledger.schedule(a_spec(name=f"room again {times}")).job_id)
        facts = ledger.mapper.to_facts(ledger.book.read(after=0, limit=10**6))
        kept = [fact.stream for fact in facts if fact.topic == "job.scheduled"]
        assert (len(kept), set(kept)) == (len(answered), answered)
        assert verify_book(ledger.book).is_sound


def kept_until_full(ledger: Ledger, times: int) -> set[UUID]:
    """The jobs that were kept until the disk was full, which must be told as that."""
    kept: set[UUID] = set()
    for number in count():
        try:
            kept.add(ledger.schedule(a_spec(name=f"{times}-{number}")).job_id)
        except StorageFull:
            break
    return kept


def test_a_node_knows_that_somebody_else_keeps_the_turn(
    postgres_shelf: PostgresShelf,
) -> None:
    """Reading works all the while: only what the last command met tells that none is answered."""
    with Ledger.open(postgres_shelf.address) as ledger, holding_turn(postgres_shelf) as end:
        with pytest.raises(Unavailable):
            ledger.schedule(a_spec(name="meanwhile"))
        told = ledger.writer.trouble
        end()
        ledger.submit([]).result()
        assert isinstance(told, Unavailable)
        assert ledger.writer.trouble is None
        assert ledger.schedule(a_spec(name="meanwhile")).changed


@contextmanager
def holding_turn(shelf: PostgresShelf) -> Iterator[Callable[[], None]]:
    """Somebody else has the turn, until what this gives is called."""
    with psycopg.connect(shelf.address.dsn) as connection:
        connection.execute(f"LOCK TABLE {shelf.address.schema}.turn IN EXCLUSIVE MODE".encode())
        yield connection.rollback

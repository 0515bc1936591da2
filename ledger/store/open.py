"""Where a ledger's book comes from: a folder that is owned, a database that is joined, or either
for reading only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.chance import Chance, SystemChance
from ledger.clock import Clock, SystemClock
from ledger.store.dependencies import Limits, Surroundings
from ledger.store.event_store import Book
from ledger.store.postgres.dsn import SCHEMES, Address
from ledger.store.sqlite.folder import Folder, OwnerLock
from ledger.store.sqlite.store import SQLiteBook

if TYPE_CHECKING:
    from ledger.store.postgres.clock import DatabaseClock
    from ledger.store.postgres.listener import Follower
    from ledger.store.postgres.store import PostgresBook

# The driver of PostgreSQL is slow to import, and who stays on SQLite needs none: hence the imports
# inside.


@dataclass(frozen=True, slots=True)
class Opened:
    """A book that was opened, and what came with it."""

    place: Path | Address
    book: Book
    around: Surroundings
    lock: OwnerLock | None = None
    follow: Callable[[Callable[[], object]], Follower] | None = None
    """Makes an ear for other nodes; what it is given is called when they may have appended."""

    def close(self) -> None:
        """Give the book and the folder back."""
        self.book.close()
        if self.lock is not None:
            self.lock.release()


def place_of(data: str | Path | Address) -> Path | Address:
    """The folder or the database that is meant."""
    if isinstance(data, Address):
        return data
    return Address(data) if isinstance(data, str) and data.startswith(SCHEMES) else Path(data)


def own(path: Path, clock: Clock | None, chance: Chance | None, limits: Limits) -> Opened:
    """Own the ledger in a folder; StartRefused when somebody else does."""
    around = Surroundings(clock or SystemClock(), chance or SystemChance(), limits)
    folder = Folder(path)
    folder.create()
    with ExitStack() as opened:
        lock = OwnerLock(folder)
        lock.take()
        opened.callback(lock.release)
        book = SQLiteBook(folder, new_id=around.chance.new_id())
        opened.pop_all()
    return Opened(path, book, around, lock)


def join(address: Address, clock: Clock | None, chance: Chance | None, limits: Limits) -> Opened:
    """Be one of several nodes: no lock, but an ear for what the others append."""
    from ledger.store.postgres.listener import Follower
    from ledger.store.postgres.statements import CALLERS_CLOCK, DATABASE_CLOCK
    from ledger.store.postgres.store import PostgresBook

    with ExitStack() as opened:
        book = PostgresBook(address, clock=CALLERS_CLOCK if clock else DATABASE_CLOCK)
        opened.callback(book.close)
        shared = _database_clock(book)
        opened.pop_all()
    around = Surroundings(clock or shared, chance or SystemChance(), limits)
    return Opened(address, book, around, None, lambda look: Follower(book.server, look, shared))


def _database_clock(book: PostgresBook) -> DatabaseClock:
    from ledger.store.postgres.clock import DatabaseClock

    with book.server.first_connection() as connection:
        return DatabaseClock(SystemClock(), connection)


def read(place: Path | Address, clock: Clock | None) -> Opened:
    """Read a ledger that other processes own."""
    around = Surroundings(clock or SystemClock(), SystemChance(), Limits())
    if isinstance(place, Path):
        return Opened(place, SQLiteBook(Folder(place), new_id=None), around)
    from ledger.store.postgres.store import PostgresBook

    return Opened(place, PostgresBook(place), around)

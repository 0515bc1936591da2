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
from ledger.store.dependencies import Dependencies, Limits
from ledger.store.event_store import EventStore
from ledger.store.postgres.dsn import SCHEMES, PostgresDsn
from ledger.store.sqlite.folder import Folder, OwnerLock
from ledger.store.sqlite.store import SQLiteEventStore

if TYPE_CHECKING:
    from ledger.store.postgres.clock import DatabaseClock
    from ledger.store.postgres.listener import ChangeListener
    from ledger.store.postgres.store import PostgresEventStore

# The driver of PostgreSQL is slow to import, and who stays on SQLite needs none: hence the imports
# inside.


@dataclass(frozen=True, slots=True)
class Opened:
    """A book that was opened, and what came with it."""

    place: Path | PostgresDsn
    event_store: EventStore
    around: Dependencies
    lock: OwnerLock | None = None
    follow: Callable[[Callable[[], object]], ChangeListener] | None = None
    """Makes an ear for other nodes; what it is given is called when they may have appended."""

    def close(self) -> None:
        """Give the book and the folder back."""
        self.event_store.close()
        if self.lock is not None:
            self.lock.release()


def place_of(data: str | Path | PostgresDsn) -> Path | PostgresDsn:
    """The folder or the database that is meant."""
    if isinstance(data, PostgresDsn):
        return data
    return PostgresDsn(data) if isinstance(data, str) and data.startswith(SCHEMES) else Path(data)


def open_owned(path: Path, clock: Clock | None, chance: Chance | None, limits: Limits) -> Opened:
    """Own the ledger in a folder; StartRefused when somebody else does."""
    around = Dependencies(clock or SystemClock(), chance or SystemChance(), limits)
    folder = Folder(path)
    folder.create()
    with ExitStack() as opened:
        lock = OwnerLock(folder)
        lock.take()
        opened.callback(lock.release)
        event_store = SQLiteEventStore(folder, new_id=around.chance.new_id())
        opened.pop_all()
    return Opened(path, event_store, around, lock)


def open_shared(
    address: PostgresDsn, clock: Clock | None, chance: Chance | None, limits: Limits
) -> Opened:
    """Be one of several nodes: no lock, but an ear for what the others append."""
    from ledger.store.postgres.listener import ChangeListener
    from ledger.store.postgres.statements import CALLERS_CLOCK, DATABASE_CLOCK
    from ledger.store.postgres.store import PostgresEventStore

    with ExitStack() as opened:
        event_store = PostgresEventStore(address, clock=CALLERS_CLOCK if clock else DATABASE_CLOCK)
        opened.callback(event_store.close)
        shared = _database_clock(event_store)
        opened.pop_all()
    around = Dependencies(clock or shared, chance or SystemChance(), limits)
    return Opened(
        address,
        event_store,
        around,
        None,
        lambda look: ChangeListener(event_store.server, look, shared),
    )


def _database_clock(event_store: PostgresEventStore) -> DatabaseClock:
    from ledger.store.postgres.clock import DatabaseClock

    with event_store.server.first_connection() as connection:
        return DatabaseClock(SystemClock(), connection)


def open_read_only(place: Path | PostgresDsn, clock: Clock | None) -> Opened:
    """Read a ledger that other processes own."""
    around = Dependencies(clock or SystemClock(), SystemChance(), Limits())
    if isinstance(place, Path):
        return Opened(place, SQLiteEventStore(Folder(place), new_id=None), around)
    from ledger.store.postgres.store import PostgresEventStore

    return Opened(place, PostgresEventStore(place), around)

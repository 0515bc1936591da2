"""Opens a ledger's event store: a folder that is owned, a database that is shared, or either for
reading only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.chance import Chance, SystemChance
from ledger.clock import Clock, SystemClock
from ledger.store.event_store import EventStore
from ledger.store.instrumentation import Instrumentation
from ledger.store.postgres.dsn import SCHEMES, PostgresDsn
from ledger.store.sqlite.folder import Folder, OwnerLock
from ledger.store.sqlite.store import SQLiteEventStore

if TYPE_CHECKING:
    from ledger.store.postgres.clock import DatabaseClock
    from ledger.store.postgres.listener import ChangeListener
    from ledger.store.postgres.store import PostgresEventStore

# PostgreSQL's driver is slow to import and not needed on SQLite: it is imported where it is used.


@dataclass(frozen=True, slots=True)
class OpenStore:
    """An open event store, and what belongs to it."""

    location: Path | PostgresDsn
    event_store: EventStore
    clock: Clock
    chance: Chance
    lock: OwnerLock | None = None
    listen: Callable[[Callable[[], object]], ChangeListener] | None = None
    """Makes a listener for other nodes; its argument is called when they may have appended."""

    def close(self) -> None:
        """Close the store and release the folder."""
        self.event_store.close()
        if self.lock is not None:
            self.lock.release()


def location_of(data: str | Path | PostgresDsn) -> Path | PostgresDsn:
    """The folder or the database that is meant."""
    if isinstance(data, PostgresDsn):
        return data
    return PostgresDsn(data) if isinstance(data, str) and data.startswith(SCHEMES) else Path(data)


def open_owned(path: Path, clock: Clock | None, chance: Chance | None) -> OpenStore:
    """Own the ledger in a folder; StartRefused when another process does."""
    chance = chance or SystemChance()
    folder = Folder(path)
    folder.create()
    with ExitStack() as opened:
        lock = OwnerLock(folder)
        lock.take()
        opened.callback(lock.release)
        event_store = SQLiteEventStore(folder, new_id=chance.new_id())
        opened.pop_all()
    return OpenStore(path, event_store, clock or SystemClock(), chance, lock)


def open_shared(
    dsn: PostgresDsn,
    clock: Clock | None,
    chance: Chance | None,
    instrumentation: Instrumentation | None,
) -> OpenStore:
    """Open as one of several nodes: no lock, but a listener for what the others append."""
    from ledger.store.postgres.listener import ChangeListener
    from ledger.store.postgres.statements import CALLERS_CLOCK, DATABASE_CLOCK
    from ledger.store.postgres.store import PostgresEventStore

    with ExitStack() as opened:
        event_store = PostgresEventStore(
            dsn,
            clock=CALLERS_CLOCK if clock else DATABASE_CLOCK,
            instrumentation=instrumentation,
        )
        opened.callback(event_store.close)
        shared = _database_clock(event_store)
        opened.pop_all()
    return OpenStore(
        dsn,
        event_store,
        clock or shared,
        chance or SystemChance(),
        listen=lambda on_change: ChangeListener(event_store.server, on_change, shared),
    )


def _database_clock(event_store: PostgresEventStore) -> DatabaseClock:
    from ledger.store.postgres.clock import DatabaseClock

    with event_store.server.first_connection() as connection:
        return DatabaseClock(SystemClock(), connection)


def open_read_only(location: Path | PostgresDsn, clock: Clock | None) -> OpenStore:
    """Read a ledger that other processes own."""
    clock, chance = clock or SystemClock(), SystemChance()
    if isinstance(location, Path):
        return OpenStore(location, SQLiteEventStore(Folder(location), new_id=None), clock, chance)
    from ledger.store.postgres.store import PostgresEventStore

    return OpenStore(location, PostgresEventStore(location), clock, chance)

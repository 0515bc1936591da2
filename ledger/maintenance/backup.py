"""Backups of a book on SQLite: its state at one moment, copied while its owner goes on writing, and
verified before it gets its name.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from ledger.chance import new_id
from ledger.errors import StartRefused, StorageFull, Unavailable
from ledger.maintenance.verify import StepProgress, Verdict, verify_event_store
from ledger.store.sqlite.connections import SQLiteFile
from ledger.store.sqlite.folder import PRIVATE
from ledger.store.sqlite.reads import SQLiteReads
from ledger.store.sqlite.schema import identify

PAGES_AT_ONCE = 2_048
"""Database pages that are copied between two words on how far it is."""


class StillFile(SQLiteFile):
    """A file that nobody writes to: read without a log or an index being made beside it."""

    def _open(self, mode: str) -> sqlite3.Connection:
        has_log = self.path.with_name(f"{self.path.name}-wal").exists()
        return super()._open(mode if has_log else f"{mode}&immutable=1")


class FileReads(SQLiteReads):
    """A book in any file, only read."""

    def __init__(self, file: SQLiteFile, ledger_id: UUID) -> None:
        super().__init__(file)
        self.ledger_id = ledger_id

    def fact(self, key: str) -> str | None:
        """What the file says of itself under a key."""
        return self._meta(key)


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: the ledger's beginning, up to the last position there was."""

    file: Path
    ledger_id: UUID
    verdict: Verdict


def back_up(event_store: Path, out: Path, progress: StepProgress) -> Backup:
    """Copy a book into a new file, readable by its owner only. Its owner may write meanwhile: the
    copy is of the moment it began. A copy that does not verify is kept for nobody.

    Refuses StartRefused when `out` exists or cannot be made, or what is there is no ledger.
    """
    with reserved(out) as draft:
        _copy(event_store, draft, progress)
        made = check(draft, progress)
        if not made.verdict.is_sound:
            return made
        make_durable(draft)
        draft.replace(out)
        make_durable(out.parent)
    return Backup(out, made.ledger_id, made.verdict)


def check(file: Path, progress: StepProgress) -> Backup:
    """Verify the book in a file, which is not changed and nothing is made beside it. StartRefused
    when it holds none.
    """
    with reading(file) as event_store:
        verdict = verify_event_store(
            event_store, lambda done, total: progress("verified", done, total)
        )
        return Backup(file, event_store.ledger_id, verdict)


@contextmanager
def reading(file: Path) -> Iterator[FileReads]:
    """The book in a file that may lie anywhere. StartRefused when it holds none."""
    with ExitStack() as opened:
        still = StillFile(file, synchronous="FULL", is_read_only=True)
        opened.callback(still.close)
        with still.reading() as connection:
            ledger_id = identify(connection, file)
        yield FileReads(still, ledger_id)


def _copy(event_store: Path, draft: Path, progress: StepProgress) -> None:
    """SQLite's online backup, inside one reading transaction: what is written meanwhile neither
    shows in the copy nor makes it begin again.
    """
    source = SQLiteFile(event_store, synchronous="FULL", is_read_only=True).connect()
    with closing(source), closing(sqlite3.connect(draft)) as target:
        identify(source, event_store)
        try:
            source.execute("BEGIN")
            source.execute("SELECT COUNT(*) FROM meta").fetchone()
            source.backup(
                target,
                pages=PAGES_AT_ONCE,
                progress=lambda _, left, total: progress("copied pages", total - left, total),
            )
        except sqlite3.Error as error:
            if "full" in str(error):
                raise StorageFull from error
            raise Unavailable(f"The backup could not be made ({error}): try again.") from error


@contextmanager
def reserved(out: Path) -> Iterator[Path]:
    """A file to write beside `out`, whose name is taken meanwhile: what is there already is never
    overwritten. Both are gone again if nothing took the name.
    """
    if not out.name:
        raise StartRefused("Name the new file: an empty name is none.")
    draft = out.with_name(f".{out.name}.{new_id().hex}")
    try:
        os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError:
        raise StartRefused(f"{out} exists already, and nothing is overwritten.") from None
    except OSError as error:
        raise StartRefused(f"{out} cannot be made: {error.strerror}.") from None
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        yield draft
    finally:
        draft.with_name(f"{draft.name}-journal").unlink(missing_ok=True)
        draft.unlink(missing_ok=True)
        if out.exists() and out.stat().st_size == 0:
            out.unlink()


def make_durable(path: Path) -> None:
    """What was written there survives a power cut."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

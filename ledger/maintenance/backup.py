"""Backups of an event store on SQLite: its state at one instant, copied while its owner continues
to write, and verified before it gets its name.
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
"""Database pages that are copied between two reports of progress."""


class ImmutableFile(SQLiteFile):
    """A file that no process writes to: read without creating a log or an index beside it."""

    def _open(self, mode: str) -> sqlite3.Connection:
        has_log = self.path.with_name(f"{self.path.name}-wal").exists()
        return super()._open(mode if has_log else f"{mode}&immutable=1")


class FileReads(SQLiteReads):
    """An event store in any file, for reading only."""

    def __init__(self, file: SQLiteFile, ledger_id: UUID) -> None:
        super().__init__(file)
        self.ledger_id = ledger_id

    def meta_value(self, key: str) -> str | None:
        """The value of a key in the file's `meta`."""
        return self._meta(key)


@dataclass(frozen=True, slots=True)
class Backup:
    """The contents of a backup: the ledger's events up to its last position."""

    file: Path
    ledger_id: UUID
    verdict: Verdict


def back_up(event_store: Path, out: Path, progress: StepProgress) -> Backup:
    """Copy an event store into a new file, readable by its owner only. Its owner may write
    meanwhile: the copy has the state of the instant it began. A copy that fails verification is
    deleted.

    Refuses StartRefused when `out` exists or cannot be created, or the source is not a ledger.
    """
    with reserved(out) as partial:
        _copy(event_store, partial, progress)
        made = check(partial, progress)
        if not made.verdict.is_sound:
            return made
        make_durable(partial)
        partial.replace(out)
        make_durable(out.parent)
    return Backup(out, made.ledger_id, made.verdict)


def check(file: Path, progress: StepProgress) -> Backup:
    """Verify the event store in a file, which is not changed; nothing is created beside it.
    StartRefused when it contains none.
    """
    with reading(file) as event_store:
        verdict = verify_event_store(
            event_store, lambda done, total: progress("verified", done, total)
        )
        return Backup(file, event_store.ledger_id, verdict)


@contextmanager
def reading(file: Path) -> Iterator[FileReads]:
    """The event store in a file at any path. StartRefused when it contains none."""
    with ExitStack() as opened:
        source_file = ImmutableFile(file, synchronous="FULL", is_read_only=True)
        opened.callback(source_file.close)
        with source_file.reading() as connection:
            ledger_id = identify(connection, file)
        yield FileReads(source_file, ledger_id)


def _copy(event_store: Path, partial: Path, progress: StepProgress) -> None:
    """SQLite's online backup, inside one reading transaction: what is written meanwhile neither
    shows in the copy nor restarts it.
    """
    source = SQLiteFile(event_store, synchronous="FULL", is_read_only=True).connect()
    with closing(source), closing(sqlite3.connect(partial)) as target:
        identify(source, event_store)
        try:
            source.execute("BEGIN")
            source.execute("SELECT COUNT(*) FROM meta").fetchone()
            source.backup(
                target,
                pages=PAGES_AT_ONCE,
                progress=lambda _, remaining, total: progress(
                    "copied pages", total - remaining, total
                ),
            )
        except sqlite3.Error as error:
            if "full" in str(error):
                raise StorageFull from error
            raise Unavailable(f"The backup could not be made ({error}): try again.") from error


@contextmanager
def reserved(out: Path) -> Iterator[Path]:
    """A file to write beside `out`, whose name is reserved meanwhile: an existing file is never
    overwritten. Both are removed if the file was not given its name.
    """
    if not out.name:
        raise StartRefused("Name the new file: the name is empty.")
    partial = out.with_name(f".{out.name}.{new_id().hex}")
    try:
        os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError:
        raise StartRefused(f"{out} exists already: name a new file.") from None
    except OSError as error:
        raise StartRefused(f"{out} cannot be created: {error.strerror}.") from None
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        yield partial
    finally:
        partial.with_name(f"{partial.name}-journal").unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
        if out.exists() and out.stat().st_size == 0:
            out.unlink()


def make_durable(path: Path) -> None:
    """Sync a folder, so that what was written there survives a power cut."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

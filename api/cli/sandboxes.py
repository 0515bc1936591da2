"""Where a sandbox lives: a folder of its own that is gone when it ends, at the time of its fork."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from api.cli.exits import Misused
from api.settings import Settings
from ledger.clock import Clock, StartedClock
from ledger.store.backups import reading
from ledger.store.files import PRIVATE, Folder
from ledger.store.forking import FORKED_FROM
from ledger.store.reading import from_microseconds


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a server in a sandbox is opened with."""

    settings: Settings
    clock: Clock
    fork: Path


@contextmanager
def sandbox_of(fork: Path, settings: Settings) -> Iterator[Sandbox]:
    """A copy of a fork, at the instant of its last event, that sends nothing anywhere, spans
    included. Misused when the file is no fork.
    """
    if not fork.is_file():
        raise Misused(f"--sandbox: there is no file {fork}.")
    with TemporaryDirectory(prefix="jobledger-sandbox-") as name:
        folder = Folder(Path(name) / "data")
        folder.create()
        shutil.copyfile(fork, folder.book)
        folder.book.chmod(PRIVATE)
        with reading(folder.book) as book:
            if book.fact(FORKED_FROM) is None:
                raise Misused(f"--sandbox: {fork} is no fork; make one with jobledger fork.")
            [last] = book.read(after=book.tail_position() - 1, limit=1)
        clock = StartedClock(from_microseconds(last.recorded_at))
        alone = replace(settings, data=folder.path, dsn=None, collector=None)
        yield Sandbox(alone, clock, fork)

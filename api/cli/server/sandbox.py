"""Where a sandbox lives: a folder of its own that is gone when it ends, at the time of its fork."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from api.cli.exit_codes import Misused
from api.cli.output.progress import steps
from api.settings import Settings
from ledger.application.ledger import Ledger
from ledger.clock import Clock, SetClock, from_microseconds
from ledger.errors import LedgerError
from ledger.maintenance.backup import reading
from ledger.maintenance.fork import FORKED_FROM
from ledger.store.sqlite.folder import PRIVATE, READ_MODELS_FILE, Folder
from projections.read_models import ReadModels


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a server in a sandbox is opened with."""

    settings: Settings
    clock: SetClock
    fork: Path


@contextmanager
def sandbox_of(fork: Path, settings: Settings) -> Iterator[Sandbox]:
    """A copy of a fork, at the instant of its last event, that sends nothing anywhere, spans
    included. Its clock stands until it is started, and all that is read before is: a storm must not
    pass while the copies are made. Misused when the file is no fork.
    """
    if not fork.is_file():
        raise Misused(f"--sandbox: there is no file {fork}.")
    require_fork(fork)
    with TemporaryDirectory(prefix="jobledger-sandbox-") as name:
        folder = Folder(Path(name) / "data")
        folder.create()
        shutil.copyfile(fork, folder.event_store_file)
        folder.event_store_file.chmod(PRIVATE)
        with reading(folder.event_store_file) as event_store:
            [last] = event_store.read(after=event_store.tail_position() - 1, limit=1)
        clock = SetClock(from_microseconds(last.recorded_at))
        _read_all(folder, clock)
        alone = replace(settings, data=folder.path, dsn=None, collector=None)
        yield Sandbox(alone, clock, fork)


def require_fork(file: Path) -> None:
    """Misused when the file is no fork."""
    try:
        with reading(file) as event_store:
            is_fork = event_store.fact(FORKED_FROM) is not None
    except LedgerError:
        is_fork = False
    if not is_fork:
        raise Misused(f"--sandbox: {file} is no fork; make one with jobledger fork.")


def _read_all(folder: Folder, clock: Clock) -> None:
    """Save the heads and fill the copies, with a bar."""
    with (
        steps("Sandbox") as told,
        Ledger.open(folder.path, clock=clock) as ledger,
        closing(ReadModels.open(ledger, folder.path / READ_MODELS_FILE)) as read_models,
    ):
        end, done = ledger.writer.position, 0
        while read_models.apply_page():
            done = read_models.position
            told("copies", done, end)

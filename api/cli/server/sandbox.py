"""A sandbox: a temporary folder with a copy of a fork, at the time of the fork."""

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
    """The settings, clock and fork that a server in a sandbox is opened with."""

    settings: Settings
    clock: SetClock
    fork: Path


@contextmanager
def sandbox_of(fork: Path, settings: Settings) -> Iterator[Sandbox]:
    """A copy of a fork at the instant of its last event, which sends nothing, not even spans. Its
    clock stands still until it is started, so that no time passes while the read models are built.
    Misused when the file is not a fork.
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
        _load(folder, clock)
        alone = replace(settings, data=folder.path, dsn=None, collector=None)
        yield Sandbox(alone, clock, fork)


def require_fork(file: Path) -> None:
    """Misused when the file is not a fork."""
    try:
        with reading(file) as event_store:
            is_fork = event_store.meta_value(FORKED_FROM) is not None
    except LedgerError:
        is_fork = False
    if not is_fork:
        raise Misused(f"--sandbox: {file} is not a fork; make one with jobledger fork.")


def _load(folder: Folder, clock: Clock) -> None:
    """Write the snapshots and fill the read models, with a progress bar."""
    with (
        steps("Sandbox") as report,
        Ledger.open(folder.path, clock=clock) as ledger,
        closing(ReadModels.open(ledger, folder.path / READ_MODELS_FILE)) as read_models,
    ):
        end, done = ledger.writer.position, 0
        while read_models.apply_page():
            done = read_models.position
            report("read models", done, end)

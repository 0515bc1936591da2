"""The folder of a ledger on SQLite: who owns it, and whether its files are private."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.errors import StartRefused

EVENT_STORE_FILE = "ledger.db"
READ_MODELS_FILE = "projections.db"
"""The read models, built from the events: deleting them costs only time."""
LOCK_FILE = "ledger.lock"
PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Folder:
    """The paths of one ledger's folder."""

    path: Path

    @property
    def event_store_file(self) -> Path:
        return self.path / EVENT_STORE_FILE

    @property
    def lock(self) -> Path:
        return self.path / LOCK_FILE

    def create(self) -> None:
        """Make the folder, readable by its owner only; StartRefused when that fails."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartRefused(
                f"The data folder {self.path} cannot be created: {error.strerror}."
            ) from None

    def require_private(self, file: Path) -> None:
        """Raise StartRefused when others may read or write the file: a ledger contains people's
        tasks and outputs.
        """
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StartRefused(f"{file} cannot be inspected: {error.strerror}.") from None
        if mode & 0o077:
            raise StartRefused(
                f"{file} has mode {mode:04o} and others may read it: run chmod 600 {file}."
            )

    def owner(self) -> dict[str, Any]:
        """What the owning process wrote about itself (pid, possibly url), or an empty map."""
        try:
            owner = json.loads(self.lock.read_text())
        except (OSError, ValueError):
            return {}
        return owner if isinstance(owner, dict) else {}


class OwnerLock:
    """The file lock that makes one process the owner of a folder. It ends with the process, however
    that ends.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._file: int | None = None

    def take(self) -> None:
        """Become the owner; StartRefused, naming the present owner, when another process is."""
        try:
            file = os.open(self.folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except OSError as error:
            raise StartRefused(f"{self.folder.lock} cannot be opened: {error.strerror}.") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            owner = self.folder.owner()
            who = f"process {owner['pid']}" if "pid" in owner else "another process"
            raise StartRefused(
                f"The ledger in {self.folder.path} is owned by {who}: use that "
                "process, or stop it first."
            ) from None
        self._file = file
        self.describe({"pid": os.getpid()})

    def describe(self, note: dict[str, Any]) -> None:
        """Write a note for other processes about the owner, such as where its server listens."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(note).encode(), 0)

    def release(self) -> None:
        """Stop being the owner."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

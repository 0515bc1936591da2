"""Who owns a data folder, and a little patience with owners that only pass by."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from api.cli.exit_codes import Exit, Misused, Stop
from ledger.clock import SystemClock
from ledger.errors import StartRefused
from ledger.store.sqlite.folder import Folder

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
"""How long an owner without a server is waited for: most are commands, and gone sooner."""
LOOK_SECONDS = 0.05
TRIES_WHILE_FREE = 3
"""How often a folder that nobody owns may refuse: whoever was in the way may be gone already."""


def is_owned(folder: Folder) -> bool:
    """Whether a living process owns the folder. The note in the lock file may be a dead one's."""
    try:
        file = os.open(folder.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StartRefused(f"{folder.lock} cannot be opened: {error.strerror}.") from None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def wait_while_passing(folder: Folder) -> None:
    """Wait until nobody owns the folder, or somebody who serves it; at most PATIENCE_SECONDS."""
    clock, pause = SystemClock(), Event()
    end = clock.elapsed() + PATIENCE_SECONDS
    while clock.elapsed() < end and is_owned(folder) and "url" not in folder.owner():
        pause.wait(LOOK_SECONDS)


def when_free(folder: Folder, open_it: Callable[[], T]) -> T:
    """What `open_it` opens as the folder's owner. Tried again while owners pass by, so that a
    command at the wrong moment does not stop a server's start. Raises StartRefused.
    """
    clock = SystemClock()
    end = clock.elapsed() + PATIENCE_SECONDS
    tries_left = TRIES_WHILE_FREE
    while True:
        try:
            return open_it()
        except StartRefused:
            tries_left = TRIES_WHILE_FREE if is_owned(folder) else tries_left - 1
            if tries_left == 0 or clock.elapsed() >= end or _is_served(folder):
                raise
        wait_while_passing(folder)


def _is_served(folder: Folder) -> bool:
    return is_owned(folder) and "url" in folder.owner()


def not_ours(folder: Folder) -> Stop:
    """Why a folder that another process owns cannot be changed from here."""
    owner = folder.owner()
    where = f", which serves {owner['url']}" if "url" in owner else ", which serves nobody"
    return Stop(
        Exit.UNAVAILABLE,
        f"The ledger in {folder.path} is owned by process {owner.get('pid', '?')}{where}: "
        "until it ends, this can only read.",
    )


def require_event_store(folder: Folder) -> None:
    """Misused when the folder holds no ledger: a mistyped folder must not become an empty one."""
    if not folder.event_store_file.exists():
        raise Misused(
            f"There is no ledger in {folder.path}: begin one with jobledger serve or schedule, or "
            "name its folder with --data."
        )

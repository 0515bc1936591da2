"""Who owns a data folder, and a short wait for owners that are other commands."""

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

WAIT_SECONDS = 2.0
"""The longest wait for an owner without a server: most are commands, and end sooner."""
POLL_SECONDS = 0.05
TRIES_WHILE_FREE = 3
"""Attempts on a folder without an owner: the one that refused may have ended meanwhile."""


def is_owned(folder: Folder) -> bool:
    """Whether a living process owns the folder; the text in the lock file may be of a dead one."""
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


def wait_for_short_owner(folder: Folder) -> None:
    """Wait until the folder is free or its owner is a server; at most WAIT_SECONDS."""
    clock, pause = SystemClock(), Event()
    end = clock.elapsed() + WAIT_SECONDS
    while clock.elapsed() < end and is_owned(folder) and "url" not in folder.owner():
        pause.wait(POLL_SECONDS)


def when_free(folder: Folder, open_it: Callable[[], T]) -> T:
    """What `open_it` opens as the folder's owner. Retried while other commands own it, so that none
    of them prevents a server's start. Raises StartRefused.
    """
    clock = SystemClock()
    end = clock.elapsed() + WAIT_SECONDS
    tries_left = TRIES_WHILE_FREE
    while True:
        try:
            return open_it()
        except StartRefused:
            tries_left = TRIES_WHILE_FREE if is_owned(folder) else tries_left - 1
            if tries_left == 0 or clock.elapsed() >= end or _is_served(folder):
                raise
        wait_for_short_owner(folder)


def _is_served(folder: Folder) -> bool:
    return is_owned(folder) and "url" in folder.owner()


def owned_by_other(folder: Folder) -> Stop:
    """The refusal to change a folder that another process owns."""
    owner = folder.owner()
    where = f", a server at {owner['url']}" if "url" in owner else " (no server)"
    return Stop(
        Exit.UNAVAILABLE,
        f"The ledger in {folder.path} is owned by process {owner.get('pid', '?')}{where}: "
        "until that ends, commands here can only read.",
    )


def require_event_store(folder: Folder) -> None:
    """Misused when the folder has no ledger: a mistyped folder must not become an empty ledger."""
    if not folder.event_store_file.exists():
        raise Misused(
            f"There is no ledger in {folder.path}: create one with jobledger serve or schedule, or "
            "name its folder with --data."
        )

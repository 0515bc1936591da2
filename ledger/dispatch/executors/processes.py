"""Finds the processes of a run and ends all of them, including those that started a session of
their own.

A process belongs to a run when it has the run's variable in its environment, is in the session or
group of the run's first process, writes to the run's pipes, or has a parent that belongs. Signals
go to whole groups, so that a process cannot escape by forking. Stated limit: one that empties its
environment, leaves the session, closes the pipes *and* outlives its parent is found by none of
these; only the end of a container ends it. Without /proc (not on Linux) only the first process's
own group is known.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

_PROC = Path("/proc")
_DEAD = (b"Z", b"X", b"x")

KILL_ROUNDS = 250
KILL_PAUSE_SECONDS = 0.02
"""How long to wait between two rounds of SIGKILL, until no process of the run is left."""

QUIET_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """How the processes of a run are recognized. `leader` is the process id, group and session of
    the first one.
    """

    leader: int
    variable: bytes
    """`NAME=value` as in the environment."""
    pipes: frozenset[str]
    """Names of the run's output pipes as /proc shows them, like `pipe:[4711]`."""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    group: int
    session: int


def signal_all(mark: ProcessMark, signum: int) -> int:
    """Send `signum` to every living process of the run, and return how many there were. Never to
    this process's group.

    Without /proc it is the leader's group, which counts as one while it has a process.
    """
    if not (_PROC / "self").exists():
        return _signal_group(mark.leader, signum)
    found = members(mark)
    for group in {process.group for process in found} - {os.getpgrp(), 0}:
        _signal_group(group, signum)
    return len(found)


def kill_all(mark: ProcessMark) -> int:
    """Send SIGKILL until no process of the run was found twice in a row (a scan can miss one that
    forks and ends), and return how many are left after about 5 seconds.
    """
    left = quiet = 0
    for _ in range(KILL_ROUNDS):
        left = signal_all(mark, signal.SIGKILL)
        quiet = 0 if left else quiet + 1
        if quiet == QUIET_ROUNDS:
            break
        if left:
            Event().wait(KILL_PAUSE_SECONDS)
    return left


def _signal_group(group: int, signum: int) -> int:
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        return 0
    return 1


def members(mark: ProcessMark) -> list[_Process]:
    """The living processes of the run, this process never among them."""
    living = [process for process in map(_read, _process_ids()) if process is not None]
    belonging = {process.pid for process in living if _is_marked(process, mark)}
    while True:
        children = {p.pid for p in living if p.parent in belonging} - belonging
        if not children:
            return [process for process in living if process.pid in belonging]
        belonging |= children


def _process_ids() -> list[int]:
    own = os.getpid()
    return [int(entry) for entry in os.listdir(_PROC) if entry.isdigit() and int(entry) != own]  # noqa: PTH208


def _read(pid: int) -> _Process | None:
    """From /proc/<pid>/stat (proc(5)); the name in brackets may contain anything, so the fields are
    read after it.
    """
    try:
        state, parent, group, session = (
            (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[:4]
        )
    except (OSError, ValueError):
        return None
    return None if state in _DEAD else _Process(pid, int(parent), int(group), int(session))


def _is_marked(process: _Process, mark: ProcessMark) -> bool:
    if mark.leader in (process.session, process.group):
        return True
    folder = _PROC / str(process.pid)
    with suppress(OSError):
        if mark.variable in (folder / "environ").read_bytes().split(b"\0"):
            return True
    return any(_leads_to(folder / "fd" / number) in mark.pipes for number in ("1", "2"))


def _leads_to(link: Path) -> str | None:
    try:
        return os.readlink(link)  # noqa: PTH115 - Path would make `pipe:[…]` a path
    except OSError:
        return None

"""Who keeps the copies up to date while the book grows: a thread of this process, or a process of
its own.

A thread is simplest; a process of its own leaves this one's interpreter lock to commands and runs.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import orjson

from ledger.errors import LedgerError, StartRefused
from projections.runner import ModelStanding, Runner

RETRY_SECONDS = 5.0
"""How long a follower waits for news, and before it tries again what failed."""
START_SECONDS = 60.0
"""How long the keeper's process may take until it answers for the first time."""


class Follower(Protocol):
    """Keeps copies up to date. `moved` is notified whenever they have come further."""

    moved: threading.Condition

    def start(self) -> None: ...
    def wake(self, position: int) -> None: ...
    def standings(self) -> Sequence[ModelStanding]: ...
    def close(self) -> None: ...


class ThreadFollower:
    """Runs a runner whenever the book has grown, until it is closed."""

    def __init__(self, runner: Runner) -> None:
        self.moved = threading.Condition()
        self._runner = runner
        self._bell = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="ledger-copies", daemon=True)

    def start(self) -> None:
        """Begin, with a look at what is there."""
        self._bell.set()
        self._thread.start()

    def wake(self, position: int) -> None:  # noqa: ARG002  the runner reads for itself
        """The book has grown."""
        self._bell.set()

    def standings(self) -> Sequence[ModelStanding]:
        """Where each model stands now."""
        return self._runner.standings()

    def close(self) -> None:
        """Finish the step under way and end the thread."""
        self._is_closing = True
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._is_closing:
            if not self._bell.wait(RETRY_SECONDS):
                self._runner.retry_broken()
            self._bell.clear()
            self._catch_up()

    def _catch_up(self) -> None:
        try:
            while not self._is_closing and self._runner.run_once():
                with self.moved:
                    self.moved.notify_all()
        except LedgerError:
            self._bell.wait(RETRY_SECONDS)


class ProcessFollower:
    """A keeper in a process of its own (`projections.keeper`): told of growth on its standard
    input, it tells on its standard output where the models stand. It is started again when it
    ends, and it ends with this process.
    """

    def __init__(self, data: Path, copies: Path) -> None:
        self.moved = threading.Condition()
        self._command = [sys.executable, "-m", "projections.keeper", str(data), str(copies)]
        self._standings: list[ModelStanding] = []
        self._is_closing = threading.Event()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._listen, name="ledger-copies", daemon=True)

    def start(self) -> None:
        """Begin, and wait until the keeper has made what is missing. StartRefused if it does
        not.
        """
        self._thread.start()
        with self.moved:
            if not self.moved.wait_for(lambda: bool(self._standings), START_SECONDS):
                raise StartRefused("The process that keeps the copies did not start.")

    @property
    def keeper_pid(self) -> int | None:
        """The keeper's process id, or None before it was started."""
        return self._keeper.pid if self._keeper is not None else None

    def wake(self, position: int) -> None:
        """The book has grown."""
        keeper = self._keeper
        if keeper is not None and keeper.stdin is not None:
            try:
                keeper.stdin.write(b"%d\n" % position)
                keeper.stdin.flush()
            except (OSError, ValueError):
                return

    def standings(self) -> Sequence[ModelStanding]:
        """Where each model stood when the keeper last said."""
        return self._standings

    def close(self) -> None:
        """Let the keeper finish its step and end."""
        self._is_closing.set()
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _listen(self) -> None:
        while not self._is_closing.is_set():
            with subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as keeper:
                self._keeper = keeper
                for line in keeper.stdout or ():
                    self._take(line)
            self._is_closing.wait(RETRY_SECONDS)

    def _take(self, line: bytes) -> None:
        with self.moved:
            self._standings = [ModelStanding(**standing) for standing in orjson.loads(line)]
            self.moved.notify_all()

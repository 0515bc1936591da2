"""Who keeps the copies up to date while the book grows: a thread of this process, or a process of
its own.

A thread is simplest; a process of its own leaves this one's interpreter lock to commands and runs.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import orjson

from ledger.clock import SystemClock
from ledger.errors import StartRefused
from projections.engine.runner import ModelStanding, Runner

RETRY_SECONDS = 5.0
"""How long a follower waits for news, and before it tries again what a model could not take in."""
TROUBLE_SECONDS = 1.0
"""How long a follower waits after trouble that is no model's."""
START_SECONDS = 60.0
"""How long the keeper's process may take until it answers for the first time."""

log = logging.getLogger(__name__)


class ModelRunner(Protocol):
    """Keeps copies up to date. `moved` is notified whenever they have come further, or stopped."""

    moved: threading.Condition

    @property
    def problem(self) -> str | None:
        """Why nothing is kept up to date at present, or None."""
        ...

    def start(self) -> None: ...
    def wake(self, position: int) -> None: ...
    def standings(self) -> Sequence[ModelStanding]: ...
    def close(self) -> None: ...


class LoopThread(ABC):
    """A thread of this process that steps whenever the book has grown, until it is closed."""

    def __init__(self) -> None:
        self.moved = threading.Condition()
        self._bell = threading.Event()
        self._is_closing = threading.Event()
        self._problem: str | None = None
        self._clock = SystemClock()
        self._retries_at = 0.0
        self._thread = threading.Thread(target=self._run, name="ledger-copies", daemon=True)

    def start(self) -> None:
        """Begin, with a look at what is there."""
        self._bell.set()
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """What the last step failed of, or that the thread is no more."""
        was_started = self._thread.ident is not None
        if was_started and not self._thread.is_alive() and not self._is_closing.is_set():
            return self._problem or "The thread that keeps the copies ended."
        return self._problem

    def wake(self, position: int) -> None:  # noqa: ARG002  the runner reads for itself
        """The book has grown."""
        self._bell.set()

    def close(self) -> None:
        """Finish the step under way and end the thread."""
        self._is_closing.set()
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join()

    @abstractmethod
    def _step(self) -> None:
        """Wait for news, at most for a while, and deal with them."""

    @abstractmethod
    def _leave_off(self) -> None:
        """A step failed: what depends on it is given up."""

    def _run(self) -> None:
        while not self._is_closing.is_set():
            try:
                self._step()
                self._problem = None
            except Exception as error:  # noqa: BLE001  a follower outlives whatever goes wrong
                self._leave_off()
                self._problem = remembered(error, self._problem)
                self._bell.set()
                self._is_closing.wait(TROUBLE_SECONDS)

    def _catch_up(self, runner: Runner) -> None:
        """Take in what there is. Stopped models try again now and then, busy as the book may be."""
        now = self._clock.elapsed()
        if now >= self._retries_at:
            runner.retry_broken()
            self._retries_at = now + RETRY_SECONDS
        self._bell.clear()
        while not self._is_closing.is_set() and runner.run_once():
            self._tell()
        self._tell()  # a model that stops before its first event moves nothing

    def _tell(self) -> None:
        with self.moved:
            self.moved.notify_all()


class RunnerThread(LoopThread):
    """Runs a runner whenever the book has grown, until it is closed."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def standings(self) -> Sequence[ModelStanding]:
        """Where each model stands now."""
        return self._runner.standings()

    def _step(self) -> None:
        self._bell.wait(RETRY_SECONDS)
        self._catch_up(self._runner)

    def _leave_off(self) -> None:
        """A runner looks for itself where its models stand after a failure."""


class RunnerProcess:
    """A keeper in a process of its own (`engine.process`, or `engine.elected_process`): told of
    growth on its standard input, it tells on its standard output where the models stand. It is
    started again when it ends, and it ends with this process.
    """

    def __init__(self, keeper: str, what: Mapping[str, str]) -> None:
        """`keeper` is the module to run; what it keeps is told to it on its standard input, since a
        database's address may hold a password and everybody may read a command line.
        """
        self.moved = threading.Condition()
        self._command = [sys.executable, "-m", keeper]
        self._what = orjson.dumps(what) + b"\n"
        self._standings: list[ModelStanding] = []
        self._is_closing = threading.Event()
        self._problem: str | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._listen, name="ledger-copies", daemon=True)

    def start(self) -> None:
        """Begin, and wait until the keeper has made what is missing. StartRefused if it does
        not.
        """
        self._thread.start()
        with self.moved:
            if not self.moved.wait_for(lambda: bool(self._standings), START_SECONDS):
                why = f": {self._problem}" if self._problem else "."
                raise StartRefused(f"The process that keeps the copies did not start{why}")

    @property
    def problem(self) -> str | None:
        """Why there is no keeper at present, or that nobody looks after it any more."""
        was_started = self._thread.ident is not None
        if was_started and not self._thread.is_alive() and not self._is_closing.is_set():
            return self._problem or "Nobody looks after the process that keeps the copies."
        return self._problem

    @property
    def process_pid(self) -> int | None:
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
        if self._keeper is not None:
            _dismiss(self._keeper)
        if self._thread.ident is not None:
            self._thread.join()

    def _listen(self) -> None:
        while not self._is_closing.is_set():
            try:
                self._attend()
            except Exception as error:  # noqa: BLE001  a follower outlives whatever goes wrong
                if not self._is_closing.is_set():
                    self._problem = remembered(error, self._problem)
            self._is_closing.wait(RETRY_SECONDS)

    def _attend(self) -> None:
        """One keeper's life. Raises when it ends, whyever."""
        with subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as keeper:
            self._keeper = keeper
            if keeper.stdin is not None:
                keeper.stdin.write(self._what)
                keeper.stdin.flush()
            if self._is_closing.is_set():  # `close` may have dismissed the one before
                _dismiss(keeper)
            for line in keeper.stdout or ():
                self._take(line)
        raise ChildProcessError(f"the keeper's process ended with code {keeper.returncode}")

    def _take(self, line: bytes) -> None:
        with self.moved:
            self._standings = [ModelStanding(**standing) for standing in orjson.loads(line)]
            self._problem = None
            self.moved.notify_all()


def remembered(error: Exception, before: str | None) -> str:
    """A problem in words, told to the log unless it is the one from before."""
    problem = f"{type(error).__name__}: {error}"
    if problem != before:
        log.error("The copies are not kept up to date: %s", problem, exc_info=error)
    return problem


def _dismiss(keeper: subprocess.Popen[bytes]) -> None:
    """A keeper ends with its standard input; one that has ended already cannot be told."""
    if keeper.stdin is not None:
        with suppress(OSError):
            keeper.stdin.close()

"""Keeps the read models up to date: in a thread of this process, or in a child process, which
leaves this one's interpreter lock to commands and runs.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from ledger.background_loop import BackgroundLoop
from ledger.clock import SystemClock
from ledger.errors import StartRefused
from projections.engine.runner import ModelStatus, Runner

RETRY_SECONDS = 5.0
"""How long a step waits for new events, and a stopped model before it tries again."""
TROUBLE_SECONDS = 1.0
"""How long a loop waits after an error that is not a model's."""
START_SECONDS = 60.0
"""How long the child process may take until its first status."""

log = logging.getLogger(__name__)


class LoopRunner(ABC):
    """Steps in a thread of this process whenever there are new events, until it is closed. `moved`
    is notified when the models have advanced, or stopped.
    """

    def __init__(self) -> None:
        self.moved = threading.Condition()
        self._loop = BackgroundLoop("projections", self._step, retry_seconds=TROUBLE_SECONDS)
        self._clock = SystemClock()
        self._retries_at = 0.0

    def start(self) -> None:
        """Start with the events there are."""
        self._loop.start()

    @property
    def problem(self) -> str | None:
        """What the last step failed with, or None."""
        return self._loop.problem

    def wake(self, position: int) -> None:  # noqa: ARG002  the runner reads for itself
        """There are new events."""
        self._loop.wake()

    def close(self) -> None:
        """Finish the current step and end the thread."""
        self._loop.close()

    @abstractmethod
    def statuses(self) -> Sequence[ModelStatus]:
        """How far each model is."""

    @abstractmethod
    def _step(self) -> float:
        """Apply the events there are; the seconds to wait for more."""

    def _catch_up(self, runner: Runner) -> None:
        """Apply every event there is. Stopped models try again now and then, under load too."""
        now = self._clock.elapsed()
        if now >= self._retries_at:
            runner.retry_broken()
            self._retries_at = now + RETRY_SECONDS
        while not self._loop.is_closing and runner.run_once():
            self._notify_moved()
        self._notify_moved()  # a model that stops before its first event advances nothing

    def _notify_moved(self) -> None:
        with self.moved:
            self.moved.notify_all()


class RunnerThread(LoopRunner):
    """Runs a runner whenever there are new events, until it is closed."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def statuses(self) -> Sequence[ModelStatus]:
        """How far each model is now. The runner reloads its positions after a failure."""
        return self._runner.statuses()

    def _step(self) -> float:
        self._catch_up(self._runner)
        return RETRY_SECONDS


class RunnerProcess:
    """A child process that updates the read models (`projections.engine.process`). A line on its
    standard input wakes it; each line on its standard output has the models' statuses. It is
    started again when it ends, and ends with this process.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """`settings` are sent on standard input: a DSN may contain a password, and every user of
        the machine can read a command line.
        """
        self.moved = threading.Condition()
        self._command = [sys.executable, "-m", "projections.engine.process"]
        self._settings = orjson.dumps(settings) + b"\n"
        self._statuses: list[ModelStatus] = []
        self._is_closing = threading.Event()
        self._problem: str | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-projections", daemon=True)

    def start(self) -> None:
        """Start, and wait until the child has built what is missing. Raises StartRefused."""
        self._thread.start()
        with self.moved:
            if not self.moved.wait_for(lambda: bool(self._statuses), START_SECONDS):
                why = f": {self._problem}" if self._problem else "."
                raise StartRefused(f"The process that updates the read models did not start{why}")

    @property
    def problem(self) -> str | None:
        """Why there is no child at present, or that the thread that restarts it has ended."""
        was_started = self._thread.ident is not None
        if was_started and not self._thread.is_alive() and not self._is_closing.is_set():
            return self._problem or "The process that updates the read models is not supervised."
        return self._problem

    def wake(self, position: int) -> None:
        """There are new events."""
        child = self._child
        if child is not None and child.stdin is not None:
            with suppress(OSError, ValueError):
                child.stdin.write(b"%d\n" % position)
                child.stdin.flush()

    def statuses(self) -> Sequence[ModelStatus]:
        """How far each model was in the child's last line."""
        return self._statuses

    def close(self) -> None:
        """Let the child finish its step and end."""
        self._is_closing.set()
        if self._child is not None:
            _end(self._child)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._is_closing.is_set():
            try:
                self._run_child()
            except Exception as error:  # noqa: BLE001  the loop survives every error
                if not self._is_closing.is_set():
                    self._problem = log_problem(error, self._problem)
            self._is_closing.wait(RETRY_SECONDS)

    def _run_child(self) -> None:
        """Run one child until it ends; always raises."""
        with subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            self._child = child
            if child.stdin is not None:
                child.stdin.write(self._settings)
                child.stdin.flush()
            if self._is_closing.is_set():  # `close` may have ended the child before this one
                _end(child)
            for line in child.stdout or ():
                self._receive(line)
        raise ChildProcessError(f"the process ended with code {child.returncode}")

    def _receive(self, line: bytes) -> None:
        with self.moved:
            self._statuses = [ModelStatus(**status) for status in orjson.loads(line)]
            self._problem = None
            self.moved.notify_all()


ModelRunner = LoopRunner | RunnerProcess


def log_problem(error: Exception, before: str | None) -> str:
    """An error as a text, logged unless it is the same as before."""
    problem = f"{type(error).__name__}: {error}"
    if problem != before:
        log.error("The read models are not updated: %s", problem, exc_info=error)
    return problem


def _end(child: subprocess.Popen[bytes]) -> None:
    """Close a child's standard input, which ends it. It may have ended already."""
    if child.stdin is not None:
        with suppress(OSError):
            child.stdin.close()

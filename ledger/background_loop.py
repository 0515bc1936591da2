"""The one way to repeat something in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ledger.errors import LedgerError

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class BackgroundLoop:
    """A thread that repeats `step` until it is closed, and survives the errors of a step.

    `step` returns the seconds to wait before the next one: 0.0 for none, None to wait for `wake`.
    `wait` replaces the wait for `wake`; `until` ends the loop by itself.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        retry_seconds: float = RETRY_SECONDS,
        wait: Callable[[float | None], object] | None = None,
        until: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.problem: str | None = None
        """Why the last step failed, or None."""
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._step = step
        self._retry_seconds = retry_seconds
        self._wait = wait or self._wait_for_wake
        self._wait_to_retry = wait or (lambda seconds: self._closing.wait(seconds))
        self._until = until or (lambda: False)
        self._thread = threading.Thread(target=self._run, name=f"ledger-{name}", daemon=True)

    @property
    def is_closing(self) -> bool:
        """Whether the step under way is the last."""
        return self._closing.is_set()

    @property
    def was_started(self) -> bool:
        """Whether the thread runs, or has run."""
        return self._thread.ident is not None

    @property
    def is_running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, with a step at once."""
        self._thread.start()

    def wake(self, *_: object) -> None:
        """Start the next step now. Takes the arguments of any listener."""
        self._woken.set()

    def recovered(self) -> None:
        """For steps that last: the problem of the last one is over."""
        self.problem = None

    def pause(self, seconds: float) -> None:
        """For steps: wait so long, or until the loop is closed."""
        self._closing.wait(seconds)

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end of the thread; whether it has ended."""
        if self.was_started:
            self._thread.join(seconds)
        return not self.is_running

    def close(self, seconds: float | None = None) -> None:
        """Let the step under way finish, and end the thread; wait for that at most so long."""
        self._closing.set()
        self._woken.set()
        self.join(seconds)

    def _run(self) -> None:
        while not (self._closing.is_set() or self._until()):
            try:
                seconds = self._step()
                self.problem = None
            except Exception as error:  # noqa: BLE001  the loop survives, and `problem` names it
                self._fail(error)
            else:
                if seconds != 0.0 and not (self._closing.is_set() or self._until()):
                    self._wait(seconds)

    def _fail(self, error: Exception) -> None:
        """Log a new problem once, a fault with its traceback, and wait before the next try."""
        problem = (
            error.message if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
        )
        if problem != self.problem:
            trace = None if isinstance(error, LedgerError) else error
            log.warning("the %s cannot go on: %s", self.name, problem, exc_info=trace)
        self.problem = problem
        self._wait_to_retry(self._retry_seconds)

    def _wait_for_wake(self, seconds: float | None) -> None:
        self._woken.wait(seconds)
        self._woken.clear()

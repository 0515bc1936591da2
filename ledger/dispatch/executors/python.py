"""Runs a job as a call of a Python function that was registered under the job's handler name.

A handler gets the run's ticket and returns its output, a text or None; a plain function runs in a
thread of its own, a coroutine function on the dispatcher's event loop. It fails by raising
(`RunFailed` names class and pause) or by a text that starts with `Error:`. Stated limit: a thread
cannot be ended from outside, so a plain function that outlives its time-out continues, and its
result is ignored.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, TypeAlias

from ledger.clock import Clock
from ledger.dispatch.executors.outcomes import Blocked, Outcome, RunTicket
from ledger.dispatch.executors.output import Output
from ledger.domain.job.executor_spec import parse_executor
from ledger.domain.job.failures import ERROR_PREFIX, class_of_text
from ledger.domain.job.outcomes import Failure
from ledger.errors import Refused

ENTRY_POINTS = "jobledger.handlers"
"""The group under which installed packages offer handlers."""

Handler: TypeAlias = Callable[[RunTicket], str | None | Awaitable[str | None]]


class RunFailed(Exception):
    """Raised by a handler whose run failed: with a failure class, and until when to wait."""

    def __init__(
        self, error: str, *, failure_class: str = "other", retry_after: datetime | None = None
    ) -> None:
        super().__init__(error)
        self.failure_class = failure_class
        self.retry_after = retry_after


class PythonExecutor:
    """Calls handlers: those it was given, else those that installed packages offer."""

    kind: ClassVar[str] = "python"
    is_instant: ClassVar[bool] = False

    def __init__(self, handlers: Mapping[str, Handler], *, clock: Clock) -> None:
        self._handlers = handlers
        self._clock = clock

    async def execute(self, ticket: RunTicket) -> Outcome:
        """Call the handler and turn its result into an outcome. Raises nothing but
        CancelledError.
        """
        try:
            name = parse_executor(ticket.executor or {}, only=self.kind)["handler"]
        except Refused as refusal:
            return Blocked(refusal.message)
        try:
            handler = self._handlers.get(name) or _installed(name)
        except Exception as error:  # noqa: BLE001  importing a foreign package may do anything
            return Blocked(f"The handler {name} cannot be loaded: {type(error).__name__}: {error}.")
        if handler is None:
            return Blocked(
                f"The handler {name} is unknown to this node: register it, or "
                "install a package that offers it as an entry point of "
                f"{ENTRY_POINTS}."
            )
        return await _HandlerCall(handler, name, ticket, self._clock).outcome()

    async def aclose(self) -> None:
        """Has nothing to close; threads that outlived their time-outs end with the process."""


class _HandlerCall:
    """One call of one handler."""

    def __init__(self, handler: Handler, name: str, ticket: RunTicket, clock: Clock) -> None:
        self._handler = handler
        self._name = name
        self._ticket = ticket
        self._clock = clock
        self._started = clock.elapsed()

    async def outcome(self) -> Outcome:
        try:
            async with asyncio.timeout(self._ticket.timeout_seconds) as limit:
                result = await self._call()
        except RunFailed as error:
            return self._failed(str(error), error.failure_class, error.retry_after)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            return self._failed("it cancelled itself", "other")
        except (Exception, SystemExit) as error:  # noqa: BLE001  a handler may raise anything
            if isinstance(error, TimeoutError) and limit.expired():
                seconds = self._ticket.timeout_seconds
                return self._failed(f"it did not end within {seconds:g} s", "timeout")
            text = f"Error: {type(error).__name__}: {error}"
            return self._failed(text, class_of_text(text))
        return self._judged(result)

    async def _call(self) -> object:
        if inspect.iscoroutinefunction(self._handler):
            return await asyncio.ensure_future(
                self._handler(self._ticket)
            )  # may be cancelled alone
        return await _in_thread(self._handler, self._ticket)

    def _judged(self, result: object) -> Outcome:
        if not isinstance(result, str | None):
            return self._failed(f"it returned {type(result).__name__} instead of a text", "other")
        output = Output(redact=self._ticket.redact)
        output.take((result or "").encode(errors="replace"))
        if output.text.startswith(ERROR_PREFIX):
            return self._failed(output.text, class_of_text(output.text))
        return output.success(self._duration_ms())

    def _failed(
        self, error: str, failure_class: str, retry_after: datetime | None = None
    ) -> Failure:
        return Failure(error, failure_class, self._name, retry_after, self._duration_ms())

    def _duration_ms(self) -> int:
        return int((self._clock.elapsed() - self._started) * 1000)


def _is_being_cancelled() -> bool:
    """Whether this call is cancelled from outside, rather than by the handler itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _installed(name: str) -> Handler | None:
    """The handler that an installed package offers under this name; raises whatever its import
    raises.
    """
    found = tuple(entry_points(group=ENTRY_POINTS, name=name))
    entry: EntryPoint | None = found[0] if found else None
    return entry.load() if entry is not None else None


def _in_thread(handler: Handler, ticket: RunTicket) -> asyncio.Future[Any]:
    """The call, in a daemon thread: one that never ends must not keep the process alive."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def set_outcome(set_it: Callable[[Any], None], value: object) -> None:
        if not answer.done():
            set_it(value)

    def work() -> None:
        try:
            outcome: tuple[Callable[[Any], None], object] = answer.set_result, handler(ticket)
        except BaseException as error:  # noqa: BLE001  it is the run's failure, not the thread's
            outcome = answer.set_exception, _raisable(error)
        with suppress(RuntimeError):  # the loop has closed, so there is no waiter
            loop.call_soon_threadsafe(set_outcome, *outcome)

    threading.Thread(target=work, name=f"handler-{ticket.run_id}", daemon=True).start()
    return answer


def _raisable(error: BaseException) -> BaseException:
    """A future refuses StopIteration, and would take KeyboardInterrupt for the user's."""
    if isinstance(error, StopIteration | KeyboardInterrupt | GeneratorExit):
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error

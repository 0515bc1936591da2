"""Runs a job as a command of the machine: an argument list, never a shell, and no process of it
outlives the run.

The task is its standard input, its standard output is the run's output, its exit code decides. When
the command ends, for any reason, everything it started is ended too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from ledger.clock import Clock, rfc3339
from ledger.dispatch.executors.child import RUN_VARIABLE, Child
from ledger.dispatch.executors.outcomes import Blocked, Outcome, RunTicket
from ledger.dispatch.executors.processes import kill_all, signal_all
from ledger.domain.job.executor_spec import parse_executor
from ledger.domain.job.outcomes import Failure
from ledger.errors import Refused

GRACE_SECONDS = 5.0
"""How long a command has after SIGTERM before it is killed."""

DRAIN_SECONDS = 5.0
"""How long the pipes of an ended command are read on, while another process has them open."""

SCANNERS = 4
"""Threads that look for the processes of ended runs; each mostly waits."""

DEFAULT_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
}
"""The variables that a command gets from the machine, unless the settings name others."""


class CommandExecutor:
    """Starts commands in a session of their own and ends all their processes."""

    kind: ClassVar[str] = "command"
    is_instant: ClassVar[bool] = False

    def __init__(
        self,
        *,
        clock: Clock,
        environment: Mapping[str, str] = DEFAULT_ENVIRONMENT,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._clock = clock
        self._environment = environment
        self._grace_seconds = grace_seconds
        self._scanner = ThreadPoolExecutor(
            max_workers=SCANNERS, thread_name_prefix="command-processes"
        )

    async def execute(self, ticket: RunTicket) -> Outcome:
        """Run the command and end what is left of it. Raises nothing but CancelledError, and that
        only when every process of the run is gone.
        """
        stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work = asyncio.ensure_future(self._run(ticket, stop))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set_result(None)
            await _completed(work)
            raise

    async def aclose(self) -> None:
        """End the threads that look for processes."""
        self._scanner.shutdown()

    async def _run(self, ticket: RunTicket, stop: asyncio.Future[None]) -> Outcome:
        started = self._clock.elapsed()
        try:
            executor = parse_executor(ticket.executor or {}, only=self.kind)
            child = self._start(executor, ticket)
        except Refused as refusal:
            return Blocked(refusal.message)
        except OSError as error:
            return Blocked(_why_not_started(executor["argv"][0], error))
        try:
            await child.read()
            await asyncio.wait(
                {child.exited, stop}, timeout=ticket.timeout_seconds, return_when="FIRST_COMPLETED"
            )
            is_late = not child.exited.done()
        finally:
            survivors = await self._end(child)
        report = _Report(
            executor, ticket.timeout_seconds, int((self._clock.elapsed() - started) * 1000)
        )
        return report.outcome(child, is_late=is_late, survivors=survivors)

    def _start(self, executor: Mapping[str, Any], ticket: RunTicket) -> Child:
        """Raises OSError when nothing was executed. The task is a file on standard input, so
        nothing has to keep writing it.
        """
        with tempfile.TemporaryFile() as task:
            task.write(ticket.task.encode(errors="replace"))
            task.seek(0)
            return Child.start(
                executor["argv"],
                ticket,
                task=task,
                environment={**self._environment, **executor.get("env", {}), **_identity(ticket)},
                cwd=executor.get("cwd"),
            )

    async def _end(self, child: Child) -> int:
        """End every process of the run and read the rest of their output; returns how many could
        not be ended.

        Each step is taken even when the one before was cancelled: a loop that shuts down cancels
        everything, and may do so at any of them.
        """
        try:
            if not child.exited.done():
                await self._in_thread(signal_all, child.mark, signal.SIGTERM)
                await asyncio.wait({child.exited}, timeout=self._grace_seconds)
        finally:
            survivors = await self._in_thread(kill_all, child.mark)
            with suppress(TimeoutError):
                await asyncio.wait_for(child.wait_for_output(), DRAIN_SECONDS)
            child.close()
        return survivors

    async def _in_thread(self, work: Callable[..., int], *arguments: object) -> int:
        """In a thread, because examining all processes of a machine takes a while. Runs to its end,
        however often the waiter is cancelled.
        """
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._scanner, work, *arguments)
        await _completed(done)
        return done.result()


@dataclass(frozen=True, slots=True)
class _Report:
    """The outcome of an ended command."""

    executor: Mapping[str, Any]
    timeout_seconds: float
    duration_ms: int

    def outcome(self, child: Child, *, is_late: bool, survivors: int) -> Outcome:
        if survivors:
            return self._failed(f"{survivors} of its processes could not be killed", child, "other")
        if is_late:
            return self._failed(
                f"killed: it did not end within {self.timeout_seconds:g} s", child, "timeout"
            )
        if child.exit_code == 0:
            return child.output.success(self.duration_ms)
        return self._failed(_ending(child.exit_code), child, "crashed")

    def _failed(self, problem: str, child: Child, failure_class: str) -> Failure:
        tail = child.errors.text
        return Failure(
            error=f"{problem}: {tail}" if tail else problem,
            failure_class=failure_class,
            target=self.executor["argv"][0].rpartition("/")[2],
            retry_after=None,
            duration_ms=self.duration_ms,
        )


def _ending(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"


def _identity(ticket: RunTicket) -> dict[str, str]:
    """The variables that tell a command which run it is."""
    return {
        RUN_VARIABLE: ticket.run_id,
        "JOBLEDGER_JOB_ID": ticket.job_id,
        "JOBLEDGER_ATTEMPT": str(ticket.attempt),
        "JOBLEDGER_FENCE": str(ticket.fence),
        "JOBLEDGER_SCHEDULED_FOR": rfc3339(ticket.scheduled_for),
    }


def _why_not_started(program: str, error: OSError) -> str:
    """The system may blame the program, the folder, or neither."""
    blamed = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else program
    return f"{program} was not started: {error.strerror or error} ({blamed})."


async def _completed(work: asyncio.Future[Any]) -> None:
    """Wait for work that ends by itself, however often the waiter is cancelled meanwhile."""
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            continue
    if not work.cancelled():
        work.exception()  # retrieved, since no waiter is left

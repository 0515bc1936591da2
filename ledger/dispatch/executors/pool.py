"""Where executors run: one event loop in a thread of its own, and the outcomes of its runs."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.application.commands.runs import Claimed
from ledger.dispatch.executors.noop import NoopExecutor
from ledger.dispatch.executors.outcomes import Outcome, RunTicket


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that an executor has finished."""

    claimed: Claimed
    outcome: Outcome


class RunPool(Protocol):
    """What a dispatcher requires of the place where runs are executed."""

    running: dict[str, Claimed]

    def start(self) -> None: ...
    def is_instant(self, executor: dict[str, Any] | None) -> bool: ...
    def launch(self, claimed: Claimed) -> None: ...
    def finished(self, limit: int) -> list[Finished]: ...
    def put_back(self, finished: Finished) -> None: ...
    @property
    def finished_count(self) -> int: ...
    def close(self) -> None: ...


class RunExecutor(Protocol):
    """What executes the runs of a pool."""

    async def execute(self, ticket: RunTicket) -> Outcome: ...
    async def aclose(self) -> None: ...


class ExecutorPool:
    """Executes claimed runs. `launch` returns at once; `finished` gives outcomes as they come;
    `on_finish` is called for each. The event loop exists from `start` to `close`.
    """

    def __init__(self, executors: RunExecutor, on_finish: Callable[[], None]) -> None:
        self.running: dict[str, Claimed] = {}
        self._executors = executors
        self._on_finish = on_finish
        self._finished: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._loop_thread: _LoopThread | None = None

    def start(self) -> None:
        """Start the event loop. The first launch does it too, so that single steps need no
        start.
        """
        self._opened()

    def is_instant(self, executor: dict[str, Any] | None) -> bool:
        """Whether runs of this executor take no slot: they wait for nothing."""
        return executor is not None and executor.get("kind") == NoopExecutor.kind

    def launch(self, claimed: Claimed) -> None:
        """Execute a run whose start is committed."""
        if self.is_instant(claimed.executor):
            self._finished.put(Finished(claimed, NoopExecutor.result))
            return
        self.running[claimed.run.run_id] = claimed
        self._opened().begin(claimed.run.run_id, self._work(claimed))

    def finished(self, limit: int) -> list[Finished]:
        """Up to `limit` outcomes that came in since the last call."""
        outcomes: list[Finished] = []
        with suppress(queue.Empty):
            while len(outcomes) < limit:
                outcomes.append(self._finished.get_nowait())
        return outcomes

    def put_back(self, finished: Finished) -> None:
        """Return an outcome that could not be recorded yet."""
        self._finished.put(finished)

    @property
    def finished_count(self) -> int:
        """How many outcomes wait to be recorded."""
        return self._finished.qsize()

    def close(self) -> None:
        """Cancel what still runs, close the executors, end the thread."""
        if self._loop_thread is not None:
            self._loop_thread.close(self._executors.aclose)
            self._loop_thread = None

    def _opened(self) -> _LoopThread:
        if self._loop_thread is None:
            self._loop_thread = _LoopThread()
        return self._loop_thread

    async def _work(self, claimed: Claimed) -> None:
        outcome = await self._executors.execute(_ticket(claimed))
        self._finished.put(Finished(claimed, outcome))
        self.running.pop(claimed.run.run_id, None)
        self._on_finish()


class _LoopThread:
    """One event loop in a thread of its own, and the tasks on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="ledger-executors", daemon=True
        )
        self._thread.start()

    def begin(self, run_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task, from any thread."""
        self._loop.call_soon_threadsafe(self._begin, run_id, work)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel all tasks, await `last`, and end the thread."""
        asyncio.run_coroutine_threadsafe(self._stop(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _begin(self, run_id: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run_id, None))

    async def _stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await last()


def _ticket(claimed: Claimed) -> RunTicket:
    run = claimed.run
    return RunTicket(
        run_id=run.run_id,
        job_id=str(claimed.job_id),
        name=claimed.name,
        task=claimed.task,
        scheduled_for=run.scheduled_for,
        attempt=run.attempt,
        fence=run.fence,
        timeout_seconds=claimed.timeout_seconds,
        executor=claimed.executor,
        traceparent=claimed.traceparent,
    )

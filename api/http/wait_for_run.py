"""Waits until a requested run has ended; commits about its job wake the waiter."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException

from api.refusals import RunUnfinished, RunWithdrawn
from ledger.application.ledger import Ledger
from ledger.domain.events import (
    Completed,
    Deleted,
    Paused,
    RunBlocked,
    RunFailed,
    RunLost,
    RunStarted,
    RunSucceeded,
)
from ledger.errors import Overloaded
from ledger.store.records import RecordedEvent

GRACE_SECONDS = 30.0
"""Added to a run's own timeout, for the wait until it starts and for recording its outcome."""
MAX_WAITERS = 1000
"""Callers that may wait at the same time."""
PAGE = 200
"""Events read at a time."""
WITHDRAWS = (Paused.TOPIC, Completed.TOPIC, Deleted.TOPIC)
"""Events that withdraw a request before its run has started."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a request whose client disconnected."""

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class RunWaiter:
    """One caller that waits for a run of a job."""

    job_id: UUID
    loop: asyncio.AbstractEventLoop
    seen_version: int = 0
    wake_up: asyncio.Event = field(default_factory=asyncio.Event)


class RunWaiters:
    """The callers that wait for runs of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.grace_seconds = GRACE_SECONDS
        self._ledger = ledger
        self._waiters: set[RunWaiter] = set()
        self._lock = threading.Lock()
        ledger.writer.listeners.append(self._on_commit)

    def __len__(self) -> int:
        return len(self._waiters)

    @contextmanager
    def waiter(self, job_id: UUID) -> Iterator[RunWaiter]:
        """A waiter, to be made before the run is requested. Refuses Overloaded."""
        if len(self._waiters) >= MAX_WAITERS:
            raise Overloaded(len(self._waiters))
        waiter = RunWaiter(job_id, asyncio.get_running_loop())
        with self._lock:
            self._waiters.add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    async def result(self, waiter: RunWaiter, version: int, timeout_seconds: float) -> str:
        """The output or error of the run that was requested at a version of the job.

        `timeout_seconds` is the run's own. Refuses RunWithdrawn when the run will not start, and
        RunUnfinished when it does not end in that time and the grace.
        """
        limit = max(0.0, timeout_seconds + self.grace_seconds)
        try:
            async with asyncio.timeout(limit):
                return await self._until_ended(waiter, version)
        except TimeoutError:
            raise RunUnfinished(waiter.job_id, limit) from None

    async def _until_ended(self, waiter: RunWaiter, version: int) -> str:
        run = RequestedRun(waiter.job_id)
        waiter.seen_version = version
        while True:
            waiter.wake_up.clear()
            events = await run_sync(self._events, waiter)
            for event in events:
                waiter.seen_version = event.version
                result = run.apply(event)
                if result is not None:
                    return result
            if len(events) < PAGE:
                await waiter.wake_up.wait()

    def _events(self, waiter: RunWaiter) -> list[RecordedEvent]:
        events = self._ledger.event_store.stream(
            waiter.job_id, after=waiter.seen_version, upto=None, limit=PAGE
        )
        return list(self._ledger.mapper.to_recorded_events(events))

    def _on_commit(self, _: int) -> None:
        """Wake the waiters whose job has new events or is gone. Runs in the writer's thread."""
        if not self._waiters:
            return
        jobs = self._ledger.job_cache.jobs
        with self._lock:
            for waiter in self._waiters:
                job = jobs.get(waiter.job_id)
                if job is None or job.version > waiter.seen_version:
                    waiter.loop.call_soon_threadsafe(waiter.wake_up.set)


class RequestedRun:
    """One requested run, followed through the events of its job."""

    def __init__(self, job_id: UUID) -> None:
        self._job_id = job_id
        self._run_id: str | None = None

    def apply(self, event: RecordedEvent) -> str | None:
        """The result once the run has ended, None before. Refuses RunWithdrawn."""
        if self._run_id is None:
            if event.topic in WITHDRAWS:
                raise RunWithdrawn(self._job_id)
            if event.topic == RunStarted.TOPIC:  # a requested run starts before any other
                self._run_id = event.data["run_id"]
            return None
        result = _RESULTS.get(event.topic)
        return result(event.data) if result and event.data["run_id"] == self._run_id else None


_RESULTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    RunSucceeded.TOPIC: lambda data: data["output"] or "",
    RunFailed.TOPIC: lambda data: data["error"] or "",
    RunBlocked.TOPIC: lambda data: data["cause"],
    RunLost.TOPIC: lambda data: f"The run was lost ({data['cause']}).",
}


async def unless_disconnected(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], work: Awaitable[T]
) -> T:
    """The result of `work`, cancelled when the client disconnects. The body must have been read."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(CLIENT_CLOSED_REQUEST, "The client disconnected.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

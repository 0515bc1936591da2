"""Waiting for a run that was asked for to end: woken by the commits that concern its job."""

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
from ledger.errors import Overloaded
from ledger.store.records import RecordedEvent

GRACE_SECONDS = 30.0
"""How much longer than its own timeout a run is waited for: for a place, and for its end."""
MAX_PLACES = 1000
"""Callers that may wait at the same time."""
PAGE = 200
"""Events read at a time."""
WITHDRAWN = ("job.paused", "job.completed", "job.deleted")
"""What ends a request before its run has started."""

GONE = 499
"""The status of an answer that nobody reads; nginx's word for it."""

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class RunWaitSlot:
    """One caller's place in the waiting room."""

    job_id: UUID
    loop: asyncio.AbstractEventLoop
    seen: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)


class RunWaiters:
    """The callers who wait for runs of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.grace_seconds = GRACE_SECONDS
        self._ledger = ledger
        self._places: set[RunWaitSlot] = set()
        self._lock = threading.Lock()
        ledger.writer.listeners.append(self._tell)

    def __len__(self) -> int:
        return len(self._places)

    @contextmanager
    def place(self, job_id: UUID) -> Iterator[RunWaitSlot]:
        """A place to wait at, to be taken before the run is asked for. Refuses Overloaded."""
        if len(self._places) >= MAX_PLACES:
            raise Overloaded(len(self._places))
        place = RunWaitSlot(job_id, asyncio.get_running_loop())
        with self._lock:
            self._places.add(place)
        try:
            yield place
        finally:
            with self._lock:
                self._places.discard(place)

    async def end_of_run(self, place: RunWaitSlot, version: int, timeout_seconds: float) -> str:
        """What came out of the run that was asked for at a version of the job: its output, or its
        error.

        `timeout_seconds` is the run's own. Refuses RunWithdrawn when it will not start, and
        RunUnfinished when it has not ended by then (and some grace).
        """
        limit = max(0.0, timeout_seconds + self.grace_seconds)
        try:
            async with asyncio.timeout(limit):
                return await self._until_ended(place, version)
        except TimeoutError:
            raise RunUnfinished(place.job_id, limit) from None

    async def _until_ended(self, place: RunWaitSlot, version: int) -> str:
        watched = Watched(place.job_id)
        place.seen = version
        while True:
            place.news.clear()
            facts = await run_sync(self._facts, place)
            for fact in facts:
                place.seen = fact.version
                text = watched.take_in(fact)
                if text is not None:
                    return text
            if len(facts) < PAGE:
                await place.news.wait()

    def _facts(self, place: RunWaitSlot) -> list[RecordedEvent]:
        events = self._ledger.event_store.stream(
            place.job_id, after=place.seen, upto=None, limit=PAGE
        )
        return list(self._ledger.mapper.to_recorded_events(events))

    def _tell(self, _: int) -> None:
        """In the writer's thread, after a commit: wake those whose job has moved or is gone."""
        if not self._places:
            return
        jobs = self._ledger.job_cache.jobs
        with self._lock:
            for place in self._places:
                job = jobs.get(place.job_id)
                if job is None or job.version > place.seen:
                    place.loop.call_soon_threadsafe(place.news.set)


class Watched:
    """One requested run, followed through its job's events."""

    def __init__(self, job_id: UUID) -> None:
        self._job_id = job_id
        self._run_id: str | None = None

    def take_in(self, fact: RecordedEvent) -> str | None:
        """The run's text once it has ended; None before. Refuses RunWithdrawn."""
        if self._run_id is None:
            if fact.topic in WITHDRAWN:
                raise RunWithdrawn(self._job_id)
            if fact.topic == "job.run_started":  # what was asked for starts before anything else
                self._run_id = fact.data["run_id"]
            return None
        end = _ENDS.get(fact.topic)
        return end(fact.data) if end and fact.data["run_id"] == self._run_id else None


_ENDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "job.run_succeeded": lambda data: data["output"] or "",
    "job.run_failed": lambda data: data["error"] or "",
    "job.run_blocked": lambda data: data["cause"],
    "job.run_lost": lambda data: f"The run was lost ({data['cause']}).",
}


async def unless_gone(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], work: Awaitable[T]
) -> T:
    """The result of `work`, which is given up when the client goes away (its body must be read)."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(GONE, "The client went away.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""One client of the live stream: its filters, its queue, and why it ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from api.stream.frames import Frame, has_filter, matches
from ledger.store.audit_query import AuditQuery

MAX_WAITING = 1000
"""The longest queue of a client; with one more event the client is dropped."""
FRAMES_PER_SEND = 100


@dataclass(frozen=True, slots=True)
class Ending:
    """The last event of a stream: its name and its reason."""

    event: Literal["dropped", "closing"]
    reason: str


class Client:
    """A bounded queue between the tail and one connection. Belongs to the server's event loop.

    `position` is the last one that was sent, or that the filters excluded.
    """

    def __init__(self, query: AuditQuery, position: int) -> None:
        self.query = query
        self.position = position
        self.ending: Ending | None = None
        self.when_empty: Callable[[Client], None] | None = None
        self.when_ended: Callable[[], None] | None = None
        self._is_filtered = has_filter(query)
        self._waiting: deque[Frame] = deque()
        self._has_events = asyncio.Event()

    @property
    def has_waiting(self) -> bool:
        """Whether events are queued."""
        return bool(self._waiting)

    def offer(self, frames: Sequence[Frame]) -> bool:
        """Queue the matching events; False when the queue is full and the client is dropped."""
        matching = self._matching(frames)
        if len(self._waiting) + len(matching) > MAX_WAITING:
            self.end(Ending("dropped", "too_slow"))
            return False
        self._waiting.extend(matching)
        if matching:
            self._has_events.set()
        elif not self._waiting:
            self.position = max(self.position, frames[-1].position)
        return True

    def end(self, ending: Ending) -> None:
        """End the stream and discard the queue."""
        if self.ending is None:
            self.ending = ending
        self._waiting.clear()
        self._has_events.set()
        if self.when_ended is not None:
            self.when_ended()

    async def take(self, seconds: float) -> list[Frame]:
        """Up to FRAMES_PER_SEND queued events; none after `seconds` without any, or at the end."""
        if not self._waiting and self.ending is None:
            self._has_events.clear()
            await _within(seconds, self._has_events)
        count = min(len(self._waiting), FRAMES_PER_SEND)
        taken = [self._waiting.popleft() for _ in range(count)]
        if taken and not self._waiting and self.when_empty is not None:
            self.when_empty(self)
        return taken

    def _matching(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        if frames[0].position <= self.position:
            frames = [frame for frame in frames if frame.position > self.position]
        if self._is_filtered:
            return [frame for frame in frames if matches(self.query, frame.event)]
        return frames


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return

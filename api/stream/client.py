"""One client of the stream: what it wants, what waits for it, and why it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from api.stream.frames import Frame, has_filter, matches
from ledger.store.audit_query import AuditQuery

MAX_WAITING = 1000
"""Events that wait for one client; one more, and the client is dropped."""
FRAMES_PER_SEND = 100


@dataclass(frozen=True, slots=True)
class Ending:
    """How a stream ends: the event's name and its reason."""

    event: Literal["dropped", "closing"]
    reason: str


class Client:
    """A bounded queue between the tail and one connection. Lives in the server's event loop.

    `position` is the last one that the connection took, or that its filters passed over.
    """

    def __init__(self, wanted: AuditQuery, position: int) -> None:
        self.wanted = wanted
        self.position = position
        self.ending: Ending | None = None
        self.when_empty: Callable[[Client], None] | None = None
        self.when_ended: Callable[[], None] | None = None
        self._is_picky = has_filter(wanted)
        self._waiting: deque[Frame] = deque()
        self._has_news = asyncio.Event()

    @property
    def is_waited_for(self) -> bool:
        """Whether it has events that it did not take yet."""
        return bool(self._waiting)

    def offer(self, frames: Sequence[Frame]) -> bool:
        """Hand it events; False when it is too slow for them, and is dropped."""
        wanted = self._chosen(frames)
        if len(self._waiting) + len(wanted) > MAX_WAITING:
            self.end(Ending("dropped", "too_slow"))
            return False
        self._waiting.extend(wanted)
        if wanted:
            self._has_news.set()
        elif not self._waiting:
            self.position = max(self.position, frames[-1].position)
        return True

    def end(self, ending: Ending) -> None:
        """Let it hear why its stream ends. What waits for it is given up."""
        if self.ending is None:
            self.ending = ending
        self._waiting.clear()
        self._has_news.set()
        if self.when_ended is not None:
            self.when_ended()

    async def take(self, seconds: float) -> list[Frame]:
        """What waits, at most FRAMES_PER_SEND; nothing after so many seconds, or at the end."""
        if not self._waiting and self.ending is None:
            self._has_news.clear()
            await _within(seconds, self._has_news)
        count = min(len(self._waiting), FRAMES_PER_SEND)
        taken = [self._waiting.popleft() for _ in range(count)]
        if taken and not self._waiting and self.when_empty is not None:
            self.when_empty(self)
        return taken

    def _chosen(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        if frames[0].position <= self.position:
            frames = [frame for frame in frames if frame.position > self.position]
        if self._is_picky:
            return [frame for frame in frames if matches(self.wanted, frame.fact)]
        return frames


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return

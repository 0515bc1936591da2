"""Reads and encodes each new event once, and hands it to every client of the live stream."""

from __future__ import annotations

import asyncio
import logging

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from api.refusals import TooManyClients
from api.stream.client import Client, Ending
from api.stream.frames import Frame, frames_of
from ledger.application.ledger import Ledger
from ledger.errors import LedgerError, Unavailable

MAX_CLIENTS = 1000
PAGE = 200
"""Events read and encoded at a time."""
PACE_SECONDS = 0.25
"""How long the next page waits for clients that have not taken the last one: a burst drops only
slow clients, and they delay the others no longer than this.
"""

log = logging.getLogger(__name__)


class Tail:
    """Follows the event store while there are clients. Belongs to the server's event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.clients: set[Client] = set()
        self.dropped_count = 0
        self.encoded_count = 0
        self.position = 0
        self._live: set[Client] = set()
        self._busy: set[Client] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_new_events = asyncio.Event()
        self._is_drained = asyncio.Event()
        self._is_closed = False
        self._reader = CapacityLimiter(1)

    def enter(self, client: Client) -> None:
        """Add a client. Refuses as `require_room`."""
        self.require_room()
        self.clients.add(client)

    def require_room(self) -> None:
        """Refuse TooManyClients, and Unavailable while the server stops."""
        if self._is_closed:
            raise Unavailable("The server is stopping: try again when it is back.")
        if len(self.clients) >= MAX_CLIENTS:
            raise TooManyClients(MAX_CLIENTS)

    def leave(self, client: Client) -> None:
        """Remove a client."""
        self.clients.discard(client)
        self._live.discard(client)
        self._emptied(client)
        if not self._live and self._task is not None:
            self._stop()

    def join(self, client: Client) -> bool:
        """Send the client every event after its position from now on; False when the tail is ahead
        of it, so that it must catch up first.
        """
        if client.ending is not None:
            return True
        if self._task is None:
            self._start(client.position)
        if client.position < self.position:
            return False
        client.when_empty = self._emptied
        self._live.add(client)
        return True

    def close(self) -> None:
        """End every stream and accept no more clients."""
        self._is_closed = True
        self._end_all("server_stops")
        self._stop()

    def _start(self, position: int) -> None:
        loop = asyncio.get_running_loop()
        # The first client may be far behind, but the tail starts at the end of the event store.
        self.position = max(position, self.ledger.writer.position)
        self._loop = loop
        self._has_new_events.set()
        self.ledger.writer.listeners.append(self._wake)
        self._task = loop.create_task(self._follow(), name="stream-tail")

    def _wake(self, _: int) -> None:
        """Runs in the writer's thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._has_new_events.set)

    def _stop(self) -> None:
        if self._task is not None:
            self.ledger.writer.listeners.remove(self._wake)
            self._task.cancel()
            self._task = None

    def _end_all(self, reason: str) -> None:
        for client in self.clients:
            client.end(Ending("closing", reason))

    async def _follow(self) -> None:
        while True:
            await self._has_new_events.wait()
            self._has_new_events.clear()
            try:
                await self._hand_out_new_events()
            except LedgerError as error:
                log.warning("the live stream cannot read events after %s: %s", self.position, error)
                self._end_all(error.code)

    async def _hand_out_new_events(self) -> None:
        while frames := await run_sync(self._read, self.position, limiter=self._reader):
            self._hand_out(frames)
            await self._drained()

    def _read(self, after: int) -> list[Frame]:
        recorded = self.ledger.event_store.read(after=after, limit=PAGE)
        frames = frames_of(self.ledger.mapper.to_recorded_events(recorded))
        self.encoded_count += len(frames)
        return frames

    def _hand_out(self, frames: list[Frame]) -> None:
        self.position = frames[-1].position
        for client in list(self._live):
            if not client.offer(frames):
                self.dropped_count += 1
                self._live.discard(client)
                self._busy.discard(client)
            elif client.has_waiting:
                self._busy.add(client)

    async def _drained(self) -> None:
        """Wait until all clients have taken their events, for at most PACE_SECONDS."""
        self._is_drained.clear()
        if not self._busy:
            return
        try:
            async with asyncio.timeout(PACE_SECONDS):
                await self._is_drained.wait()
        except TimeoutError:
            return

    def _emptied(self, client: Client) -> None:
        self._busy.discard(client)
        if not self._busy:
            self._is_drained.set()

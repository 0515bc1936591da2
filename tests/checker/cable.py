"""A cable between a node and its database that a test may cut: everything through it stalls, or
breaks, until it heals.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 65_536


class Cable:
    """Forwards connections from `port` on 127.0.0.1 to another port there."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._is_broken = False
        self._ends: set[asyncio.StreamWriter] = set()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def stall(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def sever(self) -> None:
        """Every connection breaks, and no new one is made."""
        self._loop.call_soon_threadsafe(self._sever)

    def heal(self) -> None:
        """All is well again."""
        self._loop.call_soon_threadsafe(self._heal)

    def open(self) -> None:
        """Be there; returns when connections are accepted."""
        self._thread.start()
        self._is_up.wait()

    def close(self) -> None:
        """Break everything and end."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._begin())
        self._is_up.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _begin(self) -> None:
        self._flows.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    def _sever(self) -> None:
        self._is_broken = True
        for end in self._ends:
            end.transport.abort()

    def _heal(self) -> None:
        self._is_broken = False
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_broken:
            writer.transport.abort()
            return
        with suppress(OSError):
            there, here = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._ends |= {writer, here}
            await asyncio.gather(self._pump(reader, here), self._pump(there, writer))
            self._ends -= {writer, here}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while chunk := await reader.read(CHUNK):
                await self._flows.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()


@contextmanager
def a_cable(to_port: int) -> Iterator[Cable]:
    """A cable that is gone afterwards."""
    cable = Cable(to_port)
    cable.open()
    try:
        yield cable
    finally:
        cable.close()

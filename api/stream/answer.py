"""The streaming answer: first the events that the client missed, then new events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import anyio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.stream.client import Client, Ending
from api.stream.frames import GREETING, HEARTBEAT, Frame, frames_of, last_frame
from api.stream.tail import Tail
from ledger.errors import LedgerError
from ledger.store.audit_query import AuditQuery

HEARTBEAT_SECONDS = 15.0
"""How often a stream sends a heartbeat and checks that its token is still valid."""
SEND_SECONDS = 30.0
"""How long a client may take to receive one chunk before its connection is closed."""
LAST_SEND_SECONDS = 1.0
"""The same once its stream has ended: a client that does not read must not delay a shutdown."""
CATCH_UP_PAGE = 500
MAX_CATCHING_UP = 4
"""Clients that catch up at the same time."""


class EventStream(Response):
    """Streams events to one client until it disconnects, is too slow, its token ends, or the server
    stops. Every end but the first is announced by a last event.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        tail: Tail,
        client: Client,
        is_allowed: Callable[[], bool],
        *,
        readers: CapacityLimiter,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        super().__init__(headers=self._own_headers())
        del self.headers["content-length"]
        self._tail = tail
        self._client = client
        self._is_allowed = is_allowed
        self._readers = readers
        self._heartbeat_seconds = heartbeat_seconds

    @staticmethod
    def _own_headers() -> Mapping[str, str]:
        return {"X-Accel-Buffering": "no"}  # else nginx buffers the events

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        self._tail.enter(self._client)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._until_disconnected, receive, group.cancel_scope)
                await self._stream(send)
                group.cancel_scope.cancel()
        finally:
            self._tail.leave(self._client)

    async def _until_disconnected(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _stream(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": list(self.raw_headers)}
        )
        try:
            await self._send(send, GREETING)
            await self._send_events(send)
            await self._send_ending(send)
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            return  # the client does not read: the server closes the connection

    async def _send_events(self, send: Send) -> None:
        client = self._client
        try:
            while not self._tail.join(client):
                await self._send_frames(send, *await self._missed())
        except LedgerError as error:
            client.end(Ending("closing", error.code))
        now = asyncio.get_running_loop().time
        heartbeat_at = now() + self._heartbeat_seconds
        while client.ending is None:
            frames = await client.take(max(0.0, heartbeat_at - now()))
            if frames:
                await self._send_frames(send, frames, frames[-1].position)
            if now() >= heartbeat_at:
                heartbeat_at = now() + self._heartbeat_seconds
                await self._heartbeat(send)

    async def _missed(self) -> tuple[list[Frame], int]:
        """The next page that the client missed, and the position that it is complete up to."""
        end = self._tail.position
        query = replace(
            self._client.query,
            after_position=self._client.position,
            until_position=end,
            limit=CATCH_UP_PAGE,
        )
        frames = await run_sync(self._read, query, limiter=self._readers)
        return frames, frames[-1].position if len(frames) == CATCH_UP_PAGE else end

    def _read(self, query: AuditQuery) -> list[Frame]:
        ledger = self._tail.ledger
        return frames_of(ledger.mapper.to_recorded_events(ledger.event_store.find(query)))

    async def _heartbeat(self, send: Send) -> None:
        if self._is_allowed():
            await self._send(send, HEARTBEAT)
        else:
            self._client.end(Ending("closing", "token_ended"))

    async def _send_frames(self, send: Send, frames: list[Frame], position: int) -> None:
        if frames:
            await self._send(send, b"".join(frame.content for frame in frames))
        self._client.position = position

    async def _send_ending(self, send: Send) -> None:
        ending = self._client.ending
        if ending is not None:
            content = last_frame(ending.event, ending.reason, self._client.position)
            await self._send(send, content)

    async def _send(self, send: Send, content: bytes) -> None:
        now = asyncio.get_running_loop().time
        has_ended = self._client.ending is not None
        async with asyncio.timeout(LAST_SEND_SECONDS if has_ended else SEND_SECONDS) as limit:
            self._client.when_ended = lambda: limit.reschedule(now() + LAST_SEND_SECONDS)
            try:
                await send({"type": "http.response.body", "body": content, "more_body": True})
            finally:
                self._client.when_ended = None

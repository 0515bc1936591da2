"""Clients of the live stream without sockets, which can stop reading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import orjson
from starlette.types import Message

from tests.api.harness import Api, http_scope

LIMIT_SECONDS = 20.0
"""A limit for hangs; no test measures it."""
PATH = "/v1/events/stream"


class Listener:
    """One stream; use it as a context manager inside the api's event loop."""

    def __init__(self, api: Api, query: str = "", *, by: str = "viewer", last: str = "") -> None:
        self._api = api
        self._scope = http_scope("GET", PATH, api.secrets[by], query)
        if last:
            self._scope["headers"].append((b"last-event-id", last.encode()))
        self._sent: list[bytes] = []
        self._news = asyncio.Event()
        self._may_take = asyncio.Event()
        self._may_take.set()
        self._gone = asyncio.Event()
        self.status = 0
        self.is_complete = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        await self.until(lambda: b"retry:" in self.text or self.is_complete)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        self._may_take.set()
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._task

    def stop_reading(self) -> None:
        """Stop reading."""
        self._may_take.clear()

    def resume_reading(self) -> None:
        """Continue reading."""
        self._may_take.set()

    @property
    def text(self) -> bytes:
        return b"".join(self._sent)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Each event's name and data; the id, where there is one, is the data's position."""
        found = []
        for block in self.text.split(b"\n\n"):
            lines = dict(line.split(b": ", 1) for line in block.splitlines())
            if b"event" in lines:
                data = orjson.loads(lines[b"data"])
                assert b"id" not in lines or int(lines[b"id"]) == data["position"]
                found.append((lines[b"event"].decode(), data))
        return found

    @property
    def positions(self) -> list[int]:
        return [data["position"] for name, data in self.events if "." in name]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until a condition holds after a chunk was read."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    async def until_position(self, position: int) -> None:
        await self.until(lambda: bool(self.positions) and self.positions[-1] >= position)

    async def _listen(self) -> None:
        await self._api.app(self._scope, self._receive, self._take)

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _take(self, message: Message) -> None:
        await self._may_take.wait()
        self.status = message.get("status", self.status)
        self._sent.append(message.get("body", b""))
        is_body = message["type"] == "http.response.body"
        self.is_complete = is_body and not message.get("more_body", False)
        self._news.set()

"""Clients that request a run on Phantom's routes and wait for it, or disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from ledger.clock import EPOCH
from tests.api.harness import PATIENCE_SECONDS, Api, http_scope


def meanwhile(api: Api, path: str, happens: Callable[[], object]) -> httpx.Response:
    """Request a run, do something while the answer is pending, and return the answer."""

    async def both() -> httpx.Response:
        request = asyncio.create_task(api._send("POST", path, {}))
        await _until_requested(api)
        await asyncio.to_thread(happens)
        return await request

    return api._runner.run(both())


def leave(api: Api, path: str) -> None:
    """Request a run, and disconnect while the answer is pending."""

    async def impatient() -> None:
        gone = asyncio.Event()
        request = asyncio.create_task(_call(api, path, gone))
        await _until_requested(api)
        gone.set()
        await request

    api._runner.run(impatient())


async def _until_requested(api: Api) -> None:
    """Wait until the ledger knows of the run and a waiter waits for it."""
    waiters = api.app.state.run_waiters
    waiters.grace_seconds = PATIENCE_SECONDS
    while not (len(waiters) and api.ledger.job_cache.due.next_at() == EPOCH):
        await asyncio.sleep(0)


async def _call(api: Api, path: str, gone: asyncio.Event) -> None:
    """One POST as a server receives it, whose client disconnects when `gone` is set."""
    scope = http_scope("POST", path, api.secret_of("admin"))
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b""}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    await api.app(scope, receive, send)

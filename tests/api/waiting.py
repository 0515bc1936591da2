"""Clients that ask for a run on Phantom's routes and wait for it, or go away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from ledger.clock import EPOCH
from tests.api.harness import PATIENCE_SECONDS, Api


def meanwhile(api: Api, path: str, happens: Callable[[], object]) -> httpx.Response:
    """Ask for a run, let something happen while the answer is waited for, and give it."""

    async def both() -> httpx.Response:
        request = asyncio.create_task(api._send("POST", path, {}))
        await _asked_for(api)
        await asyncio.to_thread(happens)
        return await request

    return api._runner.run(both())


def leave(api: Api, path: str) -> None:
    """Ask for a run, and go away while it is waited for."""

    async def impatient() -> None:
        gone = asyncio.Event()
        request = asyncio.create_task(_call(api, path, gone))
        await _asked_for(api)
        gone.set()
        await request

    api._runner.run(impatient())


async def _asked_for(api: Api) -> None:
    """Until the ledger knows of the run, and somebody waits for it."""
    awaiting = api.app.state.run_waiters
    awaiting.grace_seconds = PATIENCE_SECONDS
    while not (len(awaiting) and api.ledger.job_cache.due.next_at() == EPOCH):
        await asyncio.sleep(0)


async def _call(api: Api, path: str, gone: asyncio.Event) -> None:
    """One POST as a server sees it whose client leaves when `gone` is set."""
    bearer = f"Bearer {api.secret_of('admin')}".encode()
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"authorization", bearer)],
        "scheme": "http",
    }
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b""}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    await api.app(scope, receive, send)

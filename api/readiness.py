"""Whether the ledger can do its work, and what is wrong if it cannot do all of it."""

from __future__ import annotations

import asyncio
from typing import Any

from anyio.to_thread import run_sync

from api.bootstrap import Parts
from ledger.errors import Unavailable
from ledger.store.doctor import ghosts

PROBE_SECONDS = 2.0
MAX_GHOSTS = 100
"""Ghosts named; a ledger that has more is ill enough."""


async def readiness(parts: Parts) -> dict[str, Any]:
    """`ready`, or `degraded` with what is wrong. Refuses Unavailable when no command is answered.

    This is open to anybody, so it tells ids and positions, never names or texts of jobs.
    """
    await _require_commands(parts)
    copies = parts.copies.health()
    lost = [ghost["id"] for ghost in await run_sync(ghosts, parts.ledger)]
    dispatcher = parts.dispatcher.health() if parts.dispatcher is not None else None
    problems = [*_of_copies(copies), *_of_ghosts(lost), *_of_dispatcher(dispatcher)]
    return {
        "status": "degraded" if problems else "ready",
        "problems": problems,
        "position": parts.ledger.writer.position,
        "copies": [{name: model[name] for name in _SHOWN_OF_COPIES} for model in copies],
        "dispatcher": dispatcher and {name: dispatcher[name] for name in _SHOWN_OF_DISPATCHER},
        "ghosts": lost[:MAX_GHOSTS],
    }


_SHOWN_OF_COPIES = ("name", "version", "position", "state", "broken_at")
_SHOWN_OF_DISPATCHER = ("state", "open_runs", "lag_seconds")


async def _require_commands(parts: Parts) -> None:
    """An empty batch goes the way every command goes: through the queue and past the writer."""
    try:
        probe = asyncio.wrap_future(parts.ledger.submit([]))
        await asyncio.wait_for(asyncio.shield(probe), PROBE_SECONDS)
    except TimeoutError:
        raise Unavailable("The writer does not answer: look at the log, restart it.") from None


def _of_copies(copies: list[dict[str, Any]]) -> list[str]:
    return [
        f"The copy {model['name']} stopped at position {model['broken_at']}."
        for model in copies
        if model["state"] == "stopped"
    ]


def _of_ghosts(lost: list[str]) -> list[str]:
    return [f"Job {job_id} is active and will never fire." for job_id in lost[:MAX_GHOSTS]]


def _of_dispatcher(dispatcher: dict[str, Any] | None) -> list[str]:
    if dispatcher is None or dispatcher["state"] == "running":
        return []
    return [f"The dispatcher is {dispatcher['state']}: what is due is not run."]

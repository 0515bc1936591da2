"""A worker's claim: take what is due of a queue, or wait until something is."""

from __future__ import annotations

import asyncio

from api.http.context import Door, decided
from api.schemas.bodies import ClaimBody
from ledger.application.commands.jobs import Answer
from ledger.application.commands.runs import hand_out
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.queues.ready_queue import Due
from ledger.dispatch.queues.worker_queue_feeder import Desk
from ledger.domain.job.runs import Claim
from ledger.errors import Unavailable

Handing = Dispatcher | Desk
LOOK_SECONDS = 1.0
"""How often a waiting claim looks whether its worker is still there."""


async def claim(door: Door, asked: ClaimBody) -> Answer | None:
    """The answer whose job has the claimed run open; None when nothing came due in time, or when
    the worker went away. A repeated Idempotency-Key gets the run it got before.

    Refuses Unavailable where nothing is dispatched, and Overloaded when too many wait.
    """
    repeated = await door.repeated(await door.call())
    if repeated is not None:
        return repeated
    desk = door.parts.handing_out
    if desk is None:
        raise Unavailable("This node hands out no runs: claim from one that dispatches.")
    elapsed = door.ledger.clock.elapsed
    ends_at = elapsed() + asked.wait_seconds
    while True:
        answer = await _take(door, desk, asked)
        left = ends_at - elapsed()
        if answer is not None or left <= 0 or await door.request.is_disconnected():
            return answer
        await _wait(desk, asked.queue, min(left, LOOK_SECONDS))


async def _take(door: Door, desk: Handing, asked: ClaimBody) -> Answer | None:
    """Claim what has been due longest, passing over what is due no more."""
    while (due := desk.queues.take(asked.queue)) is not None:
        answer = await _claimed(door, desk, asked, due)
        if answer is not None:
            return answer
    return None


async def _claimed(door: Door, desk: Handing, asked: ClaimBody, due: Due) -> Answer | None:
    how = Claim(desk.node, due.is_late, asked.lease_seconds)
    call = await door.call()
    command = hand_out(due.wake.job_id, asked.queue, how, call)
    is_decided = False
    try:
        answer = await decided(door.ledger, command)
        is_decided = True
    finally:
        if not is_decided:  # refused, or the worker went away: it is for the next one
            desk.queues.add(asked.queue, due)
    if answer is not None and answer.repeats:
        desk.queues.add(asked.queue, due)
        return await door.repeated(call)
    return answer


async def _wait(desk: Handing, queue: str, seconds: float) -> None:
    arrival = desk.queues.arrival(queue)
    try:
        await asyncio.wait({asyncio.wrap_future(arrival)}, timeout=seconds)
    finally:
        desk.queues.leave(queue, arrival)

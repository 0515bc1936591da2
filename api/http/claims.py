"""Claims of workers: take a due run from a queue, or wait for one."""

from __future__ import annotations

import asyncio
from typing import cast

from anyio.to_thread import run_sync

from api.http.context import RequestContext
from api.schemas.bodies import ClaimBody
from ledger.application.commands.command import CommandResult, repeated_result
from ledger.application.commands.context import CommandContext
from ledger.application.commands.runs import HandOutRun
from ledger.application.idempotency import first_answer
from ledger.application.ledger import value_of
from ledger.application.unit_of_work import AlreadyAnswered
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.queues.ready_queue import DueFire
from ledger.dispatch.queues.worker_queue_feeder import WorkerQueueFeeder
from ledger.domain.job.runs import Claim
from ledger.errors import Unavailable

Handing = Dispatcher | WorkerQueueFeeder
LOOK_SECONDS = 1.0
"""How often a waiting claim checks that its worker is still connected."""


async def claim(context: RequestContext, asked: ClaimBody) -> CommandResult | None:
    """The answer, whose job has the claimed run open; None when nothing came due in time or the
    worker disconnected. A repeated Idempotency-Key gets the same run again.

    Refuses Unavailable on a node that hands out no runs, and Overloaded when too many workers wait.
    """
    repeated = await _repeated(context, await context.command_context())
    if repeated is not None:
        return repeated
    feeder = context.parts.handing_out
    if feeder is None:
        raise Unavailable("This node hands out no runs: claim from a node that dispatches.")
    elapsed = context.ledger.clock.elapsed
    ends_at = elapsed() + asked.wait_seconds
    while True:
        answer = await _take(context, feeder, asked)
        left = ends_at - elapsed()
        if answer is not None or left <= 0 or await context.request.is_disconnected():
            return answer
        await _wait(feeder, asked.queue, min(left, LOOK_SECONDS))


async def _take(context: RequestContext, feeder: Handing, asked: ClaimBody) -> CommandResult | None:
    """Claim what has been due longest; skip what is no longer due."""
    while (due := feeder.queues.take(asked.queue)) is not None:
        answer = await _claimed(context, feeder, asked, due)
        if answer is not None:
            return answer
    return None


async def _claimed(
    context: RequestContext, feeder: Handing, asked: ClaimBody, due: DueFire
) -> CommandResult | None:
    ledger, command_context = context.ledger, await context.command_context()
    how = Claim(feeder.node, due.is_late, asked.lease_seconds)
    command = HandOutRun(due.wake.job_id, asked.queue, how, command_context)
    is_decided = False
    try:
        future = asyncio.wrap_future(ledger.submit([command]))
        [result] = await asyncio.shield(future)
        is_decided = not isinstance(result, BaseException)
    finally:
        if not is_decided:  # refused, or the worker disconnected: leave it to another
            feeder.queues.add(asked.queue, due)
    if isinstance(result, AlreadyAnswered):
        return await _repeated(context, command_context)
    return cast(CommandResult | None, value_of(result))


async def _repeated(context: RequestContext, given: CommandContext) -> CommandResult | None:
    """What this request's idempotency key was answered before, or None."""
    queries = context.ledger.queries
    first = await run_sync(first_answer, given.idempotency, queries)
    return await run_sync(repeated_result, first, queries) if first is not None else None


async def _wait(feeder: Handing, queue: str, seconds: float) -> None:
    arrival = feeder.queues.arrival(queue)
    try:
        await asyncio.wait({asyncio.wrap_future(arrival)}, timeout=seconds)
    finally:
        feeder.queues.leave(queue, arrival)

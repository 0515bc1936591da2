"""Claims of workers: take a due run from a queue, or wait for one."""

from __future__ import annotations

import asyncio
from typing import cast

from anyio.to_thread import run_sync

from api.http.context import RequestContext
from api.schemas.bodies import ClaimBody
from ledger.application.command_context import CommandContext
from ledger.application.commands.command import CommandResult, repeated_result
from ledger.application.commands.runs import HandOutRun
from ledger.application.idempotency import first_answer
from ledger.application.ledger import value_of
from ledger.application.unit_of_work import AlreadyAnswered
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.queues.ready_queue import DueFire
from ledger.dispatch.queues.worker_queues import WorkerQueueFeeder
from ledger.domain.job.runs import Claim
from ledger.errors import Unavailable

RunSource = Dispatcher | WorkerQueueFeeder
POLL_SECONDS = 1.0
"""How often a waiting claim checks that its worker is still connected."""


async def claim(context: RequestContext, body: ClaimBody) -> CommandResult | None:
    """The answer, whose job has the claimed run open; None when nothing came due in time or the
    worker disconnected. A repeated Idempotency-Key gets the same run again.

    Refuses Unavailable on a node that hands out no runs, and Overloaded when too many workers wait.
    """
    repeated = await _repeated(context, await context.command_context())
    if repeated is not None:
        return repeated
    source = context.parts.handing_out
    if source is None:
        raise Unavailable("This node hands out no runs: claim from a node that dispatches.")
    elapsed = context.ledger.clock.elapsed
    ends_at = elapsed() + body.wait_seconds
    while True:
        answer = await _take(context, source, body)
        left = ends_at - elapsed()
        if answer is not None or left <= 0 or await context.request.is_disconnected():
            return answer
        await _wait(source, body.queue, min(left, POLL_SECONDS))


async def _take(
    context: RequestContext, source: RunSource, body: ClaimBody
) -> CommandResult | None:
    """Claim what has been due longest; skip what is no longer due."""
    while (due := source.queues.take(body.queue)) is not None:
        answer = await _claimed(context, source, body, due)
        if answer is not None:
            return answer
    return None


async def _claimed(
    context: RequestContext, source: RunSource, body: ClaimBody, due: DueFire
) -> CommandResult | None:
    ledger, command_context = context.ledger, await context.command_context()
    claim = Claim(source.node, due.is_late, body.lease_seconds)
    command = HandOutRun(due.item.job_id, body.queue, claim, command_context)
    is_decided = False
    try:
        future = asyncio.wrap_future(ledger.submit([command]))
        [result] = await asyncio.shield(future)
        is_decided = not isinstance(result, BaseException)
    finally:
        if not is_decided:  # refused, or the worker disconnected: leave the run to another
            source.queues.add(body.queue, due)
    if isinstance(result, AlreadyAnswered):
        return await _repeated(context, command_context)
    return cast(CommandResult | None, value_of(result))


async def _repeated(context: RequestContext, given: CommandContext) -> CommandResult | None:
    """The first answer to the request's idempotency key, or None."""
    if given.idempotency is None:
        return None
    queries = context.ledger.queries
    first = await run_sync(first_answer, given.idempotency, queries)
    return await run_sync(repeated_result, first, queries) if first is not None else None


async def _wait(source: RunSource, queue: str, seconds: float) -> None:
    arrival = source.queues.arrival(queue)
    try:
        await asyncio.wait({asyncio.wrap_future(arrival)}, timeout=seconds)
    finally:
        source.queues.leave(queue, arrival)

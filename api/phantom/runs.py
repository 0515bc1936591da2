"""Requests a run and waits for its end, as Phantom's dashboard does."""

from __future__ import annotations

from functools import partial
from typing import Any, cast
from uuid import UUID

from api.http.context import RequestContext, decided
from api.http.wait_for_run import RunWaiters, unless_disconnected
from api.phantom.shapes import job_of
from ledger.application.commands import jobs as commands
from ledger.application.commands.jobs import CommandContext
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.job.view import view


async def run_to_end(context: RequestContext, job_id: UUID, call: CommandContext) -> dict[str, Any]:
    """`{result, job}`: the run's output or error, and the job after it, null when it was deleted.

    Refuses as the command and `RunWaiters.result` do. When the client disconnects, the run goes on.
    """
    waiters: RunWaiters = context.request.app.state.run_waiters
    with waiters.waiter(job_id) as waiter:
        answer = await context.decide(partial(commands.request_run, job_id, call), call)
        job = cast(dict[str, Any], answer.job)  # None only before a repeat was rendered
        ending = waiters.result(waiter, answer.version, job["policy"]["timeout_seconds"])
        result = await unless_disconnected(context.request.receive, ending)
    return {"result": result, "job": await _job_after(context, job_id)}


async def _job_after(context: RequestContext, job_id: UUID) -> dict[str, Any] | None:
    def look(unit: UnitOfWork) -> dict[str, Any] | None:
        job = unit.job(job_id)
        return None if job.status == "deleted" or job.version == 0 else job_of(view(job))

    return await decided(context.ledger, look)

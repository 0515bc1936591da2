"""Requests a run and waits for its end, as Phantom's dashboard does."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.http.context import RequestContext
from api.http.wait_for_run import RunWaiters, unless_disconnected
from api.phantom.shapes import job_of
from ledger.application.commands.jobs import ReadJob, RequestRun
from ledger.errors import JobNotFound


async def run_to_end(context: RequestContext, command: RequestRun) -> dict[str, Any]:
    """`{result, job}`: the run's output or error, and the job after it, null when it was deleted.

    Refuses as the command and `RunWaiters.result` do. When the client disconnects, the run goes on.
    """
    waiters: RunWaiters = context.request.app.state.run_waiters
    with waiters.waiter(command.job_id) as waiter:
        answer = await context.execute(command)
        timeout_seconds = answer.job["policy"]["timeout_seconds"]
        ending = waiters.result(waiter, answer.version, timeout_seconds)
        result = await unless_disconnected(context.request.receive, ending)
    return {"result": result, "job": await _job_after(context, command.job_id)}


async def _job_after(context: RequestContext, job_id: UUID) -> dict[str, Any] | None:
    try:
        return job_of(await context.execute(ReadJob(job_id)))
    except JobNotFound:
        return None

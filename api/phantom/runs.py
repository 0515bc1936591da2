"""A run that is requested and waited for, as Phantom's dashboard does it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.http.context import RequestContext
from api.http.wait_for_run import RunWaiters, unless_gone
from api.phantom.shapes import job_of
from ledger.application.commands.jobs import ReadJob, RequestRun
from ledger.errors import JobNotFound


async def run_to_end(context: RequestContext, command: RequestRun) -> dict[str, Any]:
    """`{result, job}`: the run's output or its error, and the job after it; null when the job was
    deleted.

    Refuses as `run` does, and as waiting does (RunWaiters.end_of_run). The run goes on when the
    client leaves.
    """
    awaiting: RunWaiters = context.request.app.state.awaiting
    with awaiting.place(command.job_id) as place:
        answer = await context.execute(command)
        timeout_seconds = answer.job["policy"]["timeout_seconds"]
        ending = awaiting.end_of_run(place, answer.version, timeout_seconds)
        result = await unless_gone(context.request.receive, ending)
    return {"result": result, "job": await _job_after(context, command.job_id)}


async def _job_after(context: RequestContext, job_id: UUID) -> dict[str, Any] | None:
    try:
        return job_of(await context.execute(ReadJob(job_id)))
    except JobNotFound:
        return None

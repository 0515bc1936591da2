"""Phantom's own routes, for its dashboard and its tests. They translate shapes and statuses; the
ledger decides.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.http.bodies import BodyOf, GivenReason, GivenResume
from api.http.context import InContext, JobId, RequestContext, plain
from api.http.wait_for_run import RunWaiters, unless_disconnected
from api.phantom import openapi
from api.phantom.audit import entries
from api.phantom.bodies import (
    MAX_ENTRIES,
    AuditLimit,
    CreateBody,
    SchedulePreviewBody,
    WordsBody,
    schedule_of,
    spec_of,
)
from api.phantom.shapes import error_text, job_of, schedule_text, summary_of
from api.refusals import WordsNotUnderstood
from api.security.auth import requires
from ledger.application.commands.command import CommandResult
from ledger.application.commands.jobs import (
    DeleteJob,
    PauseJob,
    ReadJob,
    RequestRun,
    ResumeJob,
    ScheduleJob,
)
from ledger.clock import rfc3339
from ledger.domain.job.job import ResumeOptions
from ledger.domain.job.spec import read_schedule
from ledger.domain.schedule.recurrence import next_fire, require_fires
from ledger.errors import Invalid, JobNotFound
from projections.filters.paging import MAX_PAGE
from projections.models import runs as run_queries
from projections.models.jobs import queries as job_queries
from projections.models.jobs.queries import JobFilter
from projections.queries import Queries

PREFIX = "/ui/api/scheduler"
"""Every path at or below it is answered in Phantom's shapes."""
MAX_LISTED = 10_000
"""Jobs in one list, which has no pages in Phantom. With more, the oldest are left out, though the
summary counts them.
"""

router = APIRouter(prefix=PREFIX, tags=["phantom"], responses=openapi.REFUSALS)

GivenJob = Annotated[CreateBody, Depends(BodyOf(CreateBody))]
GivenSchedule = Annotated[SchedulePreviewBody, Depends(BodyOf(SchedulePreviewBody))]
GivenWords = Annotated[WordsBody, Depends(BodyOf(WordsBody))]


@router.get("", dependencies=[requires("viewer")], responses={200: openapi.LISTING})
async def list_jobs(context: InContext) -> Response:
    """The counts and every job, newest first."""
    return plain(await context.ask(_listing, context.queries))


@router.post(
    "", status_code=201, dependencies=[requires("operator")], responses={201: openapi.ONE_JOB}
)
async def create_job(body: GivenJob, context: InContext) -> Response:
    """Schedule a job whose task goes to the agent."""
    job_id, command_context = context.ledger.chance.new_id(), await context.command_context()
    command = ScheduleJob(job_id, spec_of(body), command_context)
    return _one_job(await context.execute(command), status=201)


@router.post("/preview", dependencies=[requires("viewer")], responses={200: openapi.PREVIEW})
async def preview_schedule(body: GivenSchedule, context: InContext) -> Response:
    """When a schedule would fire next, or why it is invalid."""
    return plain(await run_sync(_preview, body, context.ledger.clock.now()))


@router.post(
    "/parse",
    status_code=422,
    dependencies=[requires("viewer")],
    responses={422: openapi.NOT_UNDERSTOOD},
)
async def parse_description(_: GivenWords) -> Response:
    """Refuse: descriptions in words are not supported."""
    raise WordsNotUnderstood


@router.get("/{job_id}", dependencies=[requires("viewer")], responses={200: openapi.ONE_JOB})
async def show_job(job_id: JobId, context: InContext) -> Response:
    """One job."""
    found = await context.ask(context.queries.job, job_id)
    return plain({"job": job_of(found["job"])})


@router.delete("/{job_id}", dependencies=[requires("operator")], responses={200: openapi.DELETED})
async def delete_job(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Delete a job and free its name; its audit remains."""
    await context.execute(DeleteJob(job_id, await context.command_context(body.reason)))
    return plain({"deleted": True})


@router.get("/{job_id}/audit", dependencies=[requires("viewer")], responses={200: openapi.AUDIT})
async def audit_job(
    job_id: JobId, query: Annotated[AuditLimit, Query()], context: InContext
) -> Response:
    """The audit of a job, deleted or not, newest first."""
    limit = min(query.limit, MAX_ENTRIES)
    return plain({"entries": await run_sync(entries, context.ledger.queries, job_id, limit)})


@router.post(
    "/{job_id}/pause", dependencies=[requires("operator")], responses={200: openapi.ONE_JOB}
)
async def pause_job(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Pause an active job; any other status stays as it is."""
    command_context = await context.command_context(body.reason)
    command = PauseJob(job_id, None, command_context, leave_failed=True)
    return _one_job(await context.execute(command))


@router.post(
    "/{job_id}/resume", dependencies=[requires("operator")], responses={200: openapi.ONE_JOB}
)
async def resume_job(job_id: JobId, body: GivenResume, context: InContext) -> Response:
    """Resume a paused job, or with {"force": true} a failed one."""
    command_context = await context.command_context(body.reason)
    options = ResumeOptions(force=body.force, run_at=body.run_at, run_now=body.run_now)
    return _one_job(await context.execute(ResumeJob(job_id, options, command_context)))


@router.post("/{job_id}/run", dependencies=[requires("operator")], responses={200: openapi.RESULT})
async def run_job(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Run a job now, and wait for its result."""
    command = RequestRun(job_id, await context.command_context(body.reason))
    return plain(await _run_to_end(context, command))


def _listing(queries: Queries) -> dict[str, Any]:
    """`{summary, jobs}`. Refuses Behind."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    with queries.positions.session("jobs", "runs") as session:
        reader = session.reader
        while len(found) < MAX_LISTED:
            filters = JobFilter(cursor=cursor, limit=MAX_PAGE, is_newest_first=True)
            page, cursor = job_queries.find(reader, filters)
            found.extend(map(job_of, page))
            if cursor is None:
                break
        summary = summary_of(run_queries.summary(reader), job_queries.failing_count(reader))
    return {"summary": summary, "jobs": found}


def _preview(body: SchedulePreviewBody, now: datetime) -> dict[str, Any]:
    """`nextRunAt` and `humanReadable`, or the `error` of a schedule that the ledger refuses."""
    try:
        schedule = read_schedule(schedule_of(body.schedule), rfc3339(now))
        require_fires(schedule, now=now)
    except Invalid as refusal:
        error = error_text(refusal.code, refusal.message)
        return {"nextRunAt": None, "humanReadable": None, "error": error}
    fire = next_fire(schedule, after=now)
    return {
        "nextRunAt": rfc3339(fire) if fire is not None else None,
        "humanReadable": schedule_text(schedule),
        "error": None,
    }


def _one_job(answer: CommandResult, *, status: int = 200) -> Response:
    return plain({"job": job_of(answer.job)}, status)


async def _run_to_end(context: RequestContext, command: RequestRun) -> dict[str, Any]:
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

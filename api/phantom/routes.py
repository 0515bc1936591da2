"""Phantom's own routes, for its dashboard and its tests. They translate: every decision is the
ledger's.
"""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.http.bodies import body_of, documented
from api.http.context import InContext, JobId, plain
from api.http.errors import WordsNotUnderstood
from api.phantom import openapi as docs_runner
from api.phantom.audit import entries
from api.phantom.bodies import (
    MAX_ENTRIES,
    AuditLimit,
    CreateBody,
    SchedulePreviewBody,
    WordsBody,
    spec_of,
)
from api.phantom.listing import listing
from api.phantom.previews import preview
from api.phantom.refusals import DOCUMENTED, PREFIX
from api.phantom.runs import run_to_end
from api.phantom.shapes import job_of
from api.schemas.bodies import ReasonBody, ResumeBody
from api.security.auth import requires
from ledger.application.commands.command import CommandResult
from ledger.application.commands.jobs import DeleteJob, PauseJob, RequestRun, ResumeJob, ScheduleJob
from ledger.domain.job.job import ResumeOptions

router = APIRouter(prefix=PREFIX, tags=["phantom"], responses=DOCUMENTED)

GivenJob = Annotated[CreateBody, Depends(body_of(CreateBody))]
GivenSchedule = Annotated[SchedulePreviewBody, Depends(body_of(SchedulePreviewBody))]
GivenWords = Annotated[WordsBody, Depends(body_of(WordsBody))]
GivenResume = Annotated[ResumeBody, Depends(body_of(ResumeBody, may_be_empty=True))]
GivenReason = Annotated[ReasonBody, Depends(body_of(ReasonBody, may_be_empty=True))]
WITH_REASON = documented(ReasonBody, may_be_empty=True)


@router.get("", dependencies=[requires("viewer")], responses={200: docs_runner.LISTING})
async def jobs(context: InContext) -> Response:
    """The counts and every job, newest first."""
    return plain(await context.ask(listing, context.answers, context.parts.read_models))


@router.post(
    "",
    status_code=201,
    dependencies=[requires("operator")],
    responses={201: docs_runner.ONE_JOB},
    openapi_extra=documented(CreateBody),
)
async def create(body: GivenJob, context: InContext) -> Response:
    """Begin a job whose task goes to the agent."""
    job_id, command_context = context.ledger.chance.new_id(), await context.command_context()
    command = ScheduleJob(job_id, spec_of(body), command_context)
    return _one_job(await context.execute(command), status=201)


@router.post(
    "/preview",
    dependencies=[requires("viewer")],
    responses={200: docs_runner.PREVIEW},
    openapi_extra=documented(SchedulePreviewBody),
)
async def preview_schedule(body: GivenSchedule, context: InContext) -> Response:
    """When a schedule would fire next, or why it cannot be."""
    return plain(await run_sync(preview, body, context.ledger.clock.now()))


@router.post(
    "/parse",
    status_code=422,
    dependencies=[requires("viewer")],
    responses={422: docs_runner.NOT_UNDERSTOOD},
    openapi_extra=documented(WordsBody),
)
async def parse(_: GivenWords) -> Response:
    """Words are not understood yet: fill in the form."""
    raise WordsNotUnderstood


@router.get("/{job_id}", dependencies=[requires("viewer")], responses={200: docs_runner.ONE_JOB})
async def job(job_id: JobId, context: InContext) -> Response:
    """One job."""
    found = await context.ask(context.answers.job, job_id)
    return plain({"job": job_of(found["job"])})


@router.delete(
    "/{job_id}",
    dependencies=[requires("operator")],
    responses={200: docs_runner.DELETED},
    openapi_extra=WITH_REASON,
)
async def delete(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """End a job and free its name; its audit stays."""
    await context.execute(DeleteJob(job_id, await context.command_context(body.reason)))
    return plain({"deleted": True})


@router.get(
    "/{job_id}/audit", dependencies=[requires("viewer")], responses={200: docs_runner.AUDIT}
)
async def audit(
    job_id: JobId, query: Annotated[AuditLimit, Query()], context: InContext
) -> Response:
    """What was done to a job, deleted or not: newest first."""
    limit = min(query.limit, MAX_ENTRIES)
    return plain({"entries": await run_sync(entries, context.ledger.queries, job_id, limit)})


@router.post(
    "/{job_id}/pause",
    dependencies=[requires("operator")],
    responses={200: docs_runner.ONE_JOB},
    openapi_extra=WITH_REASON,
)
async def pause(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Stop an active job from firing; one that is paused or failed stays as it is."""
    command_context = await context.command_context(body.reason)
    command = PauseJob(job_id, None, command_context, leave_failed=True)
    return _one_job(await context.execute(command))


@router.post(
    "/{job_id}/resume",
    dependencies=[requires("operator")],
    responses={200: docs_runner.ONE_JOB},
    openapi_extra=documented(ResumeBody, may_be_empty=True),
)
async def resume(job_id: JobId, body: GivenResume, context: InContext) -> Response:
    """Bring a job back: a paused one always, a failed one with {"force": true}."""
    command_context = await context.command_context(body.reason)
    options = ResumeOptions(force=body.force, run_at=body.run_at, run_now=body.run_now)
    return _one_job(await context.execute(ResumeJob(job_id, options, command_context)))


@router.post(
    "/{job_id}/run",
    dependencies=[requires("operator")],
    responses={200: docs_runner.RESULT},
    openapi_extra=WITH_REASON,
)
async def run(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Run a job now, and wait for what comes out of it."""
    command = RequestRun(job_id, await context.command_context(body.reason))
    return plain(await run_to_end(context, command))


def _one_job(answer: CommandResult, *, status: int = 200) -> Response:
    return plain({"job": job_of(answer.job)}, status)

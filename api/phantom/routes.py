"""Phantom's own routes, for its dashboard and its tests. They translate: every decision is the
ledger's.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, cast

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
from api.phantom.leniency import unless_failed
from api.phantom.listing import listing
from api.phantom.previews import preview
from api.phantom.refusals import DOCUMENTED, PREFIX
from api.phantom.runs import run_to_end
from api.phantom.shapes import job_of
from api.schemas.bodies import ReasonBody, ResumeBody
from api.security.auth import requires
from ledger.application.commands import jobs as commands
from ledger.application.commands.jobs import CommandResult
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
    return plain(await context.ask(listing, context.answers))


@router.post(
    "",
    status_code=201,
    dependencies=[requires("operator")],
    responses={201: docs_runner.ONE_JOB},
    openapi_extra=documented(CreateBody),
)
async def create(body: GivenJob, context: InContext) -> Response:
    """Begin a job whose task goes to the agent."""
    call = await context.call()
    make = partial(context.ledger.schedule_command, spec_of(body), call)
    return _one_job(await context.decide(make, call), status=201)


@router.post(
    "/preview",
    dependencies=[requires("viewer")],
    responses={200: docs_runner.PREVIEW},
    openapi_extra=documented(SchedulePreviewBody),
)
async def preview_schedule(body: GivenSchedule, context: InContext) -> Response:
    """When a schedule would fire next, or why it cannot be."""
    call = await context.call()
    return plain(await run_sync(preview, body, call.now))


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
    call = await context.call(body.reason)
    await context.decide(partial(commands.delete, job_id, call), call)
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
    call = await context.call(body.reason)
    command = unless_failed(commands.pause(job_id, None, call), job_id)
    return _one_job(await context.decide(lambda: command, call))


@router.post(
    "/{job_id}/resume",
    dependencies=[requires("operator")],
    responses={200: docs_runner.ONE_JOB},
    openapi_extra=documented(ResumeBody, may_be_empty=True),
)
async def resume(job_id: JobId, body: GivenResume, context: InContext) -> Response:
    """Bring a job back: a paused one always, a failed one with {"force": true}."""
    call = await context.call(body.reason)
    revival = ResumeOptions(force=body.force, run_at=body.run_at, run_now=body.run_now)
    make = partial(context.ledger.resume_command, job_id, revival, call)
    return _one_job(await context.decide(make, call))


@router.post(
    "/{job_id}/run",
    dependencies=[requires("operator")],
    responses={200: docs_runner.RESULT},
    openapi_extra=WITH_REASON,
)
async def run(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Run a job now, and wait for what comes out of it."""
    call = await context.call(body.reason)
    return plain(await run_to_end(context, job_id, call))


def _one_job(answer: CommandResult, *, status: int = 200) -> Response:
    job = cast(dict[str, Any], answer.job)  # None only before a repeat was rendered
    return plain({"job": job_of(job)}, status)

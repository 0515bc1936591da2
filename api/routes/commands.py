"""Commands on a job: pause, resume, run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.http.bodies import BodyOf, GivenReason, GivenResume
from api.http.context import InContext, JobId
from api.http.direct_route import DirectRoute
from api.http.openapi import COMMAND
from api.schemas.bodies import PauseBody
from api.security.auth import requires
from ledger.application.commands.jobs import PauseJob, RequestRun, ResumeJob
from ledger.domain.job.job import ResumeOptions

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["commands"], route_class=DirectRoute)

GivenPause = Annotated[PauseBody, Depends(BodyOf(PauseBody, may_be_empty=True))]


@router.post("/pause", dependencies=[requires("operator")], responses={200: COMMAND})
async def pause_job(job_id: JobId, body: GivenPause, context: InContext) -> Response:
    """Pause a job until `until`, or until it is resumed."""
    command_context = await context.command_context(body.reason)
    return await context.answer(PauseJob(job_id, body.until, command_context))


@router.post("/resume", dependencies=[requires("operator")], responses={200: COMMAND})
async def resume_job(job_id: JobId, body: GivenResume, context: InContext) -> Response:
    """Resume a paused job, or with {"force": true} a failed one; never a completed one."""
    command_context = await context.command_context(body.reason)
    options = ResumeOptions(force=body.force, run_at=body.run_at, run_now=body.run_now)
    return await context.answer(ResumeJob(job_id, options, command_context))


@router.post("/run", status_code=202, dependencies=[requires("operator")], responses={202: COMMAND})
async def run_job(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Request one run now, which the dispatcher starts."""
    return await context.answer(RequestRun(job_id, await context.command_context(body.reason)))

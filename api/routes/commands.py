"""Commands on a job: pause, resume, run."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.http.bodies import body_of, documented
from api.http.context import InContext, JobId
from api.http.openapi import COMMAND
from api.schemas.bodies import PauseBody, ReasonBody, ResumeBody
from api.security.auth import requires
from ledger.application.commands import jobs as commands
from ledger.domain.job.job import ResumeOptions

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["commands"])

GivenPause = Annotated[PauseBody, Depends(body_of(PauseBody, may_be_empty=True))]
GivenResume = Annotated[ResumeBody, Depends(body_of(ResumeBody, may_be_empty=True))]
GivenReason = Annotated[ReasonBody, Depends(body_of(ReasonBody, may_be_empty=True))]


@router.post(
    "/pause",
    dependencies=[requires("operator")],
    responses={200: COMMAND},
    openapi_extra=documented(PauseBody, may_be_empty=True),
)
async def pause(job_id: JobId, body: GivenPause, context: InContext) -> Response:
    """Pause a job until `until`, or until it is resumed."""
    call = await context.call(body.reason)
    return await context.command(lambda: commands.pause(job_id, body.until, call), call)


@router.post(
    "/resume",
    dependencies=[requires("operator")],
    responses={200: COMMAND},
    openapi_extra=documented(ResumeBody, may_be_empty=True),
)
async def resume(job_id: JobId, body: GivenResume, context: InContext) -> Response:
    """Resume a paused job, or with {"force": true} a failed one; never a completed one."""
    call = await context.call(body.reason)
    revival = ResumeOptions(force=body.force, run_at=body.run_at, run_now=body.run_now)
    make = partial(context.ledger.resume_command, job_id, revival, call)
    return await context.command(make, call)


@router.post(
    "/run",
    status_code=202,
    dependencies=[requires("operator")],
    responses={202: COMMAND},
    openapi_extra=documented(ReasonBody, may_be_empty=True),
)
async def run(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Request one run now, which the dispatcher starts."""
    call = await context.call(body.reason)
    return await context.command(lambda: commands.request_run(job_id, call), call, status=202)

"""Jobs: schedule, list, show, amend, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.http.bodies import GivenReason, documented, read_object
from api.http.context import GivenTime, InContext, JobId, one_job, plain
from api.http.direct_route import DirectRoute
from api.http.openapi import COMMAND, ONE_JOB, listed
from api.schemas.bodies import JobPatch, JobSpec
from api.schemas.queries import JobsQuery
from api.schemas.types import Plain
from api.security.auth import UsesCaller, requires
from ledger.application.commands.jobs import AmendJob, DeleteJob, ScheduleJob
from projections.models.jobs.queries import JobFilter

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=DirectRoute)

GivenObject = Annotated[Plain, Depends(read_object)]


@router.post(
    "",
    status_code=201,
    dependencies=[requires("operator")],
    responses={201: COMMAND},
    openapi_extra=documented(JobSpec),
)
async def schedule_job(spec: GivenObject, caller: UsesCaller, context: InContext) -> Response:
    """Schedule a job. Only admins may schedule a job that runs a command."""
    caller.require_may_run(spec.get("executor"))
    job_id = context.ledger.chance.new_id()
    return await context.answer(ScheduleJob(job_id, spec, await context.command_context()))


@router.get("", dependencies=[requires("viewer")], responses={200: listed("jobs")})
async def list_jobs(query: Annotated[JobsQuery, Query()], context: InContext) -> Response:
    """The jobs, oldest first."""
    filters = JobFilter(**query.filters())
    return plain(await context.ask(context.queries.jobs, filters, **query.when()))


@router.get("/{job_id}", dependencies=[requires("viewer")], responses={200: ONE_JOB})
async def show_job(job_id: JobId, query: GivenTime, context: InContext) -> Response:
    """One job."""
    found = await context.look_up(context.queries.job, job_id, **query.when())
    return one_job(found["job"])


@router.patch(
    "/{job_id}",
    dependencies=[requires("operator")],
    responses={200: COMMAND},
    openapi_extra=documented(JobPatch),
)
async def amend_job(
    job_id: JobId, patch: GivenObject, caller: UsesCaller, context: InContext
) -> Response:
    """Change fields by a merge patch, which never changes the status. Only admins may change a job
    that runs a command.
    """
    caller.require_may_run(patch.get("executor"))
    command_context = await context.command_context()
    is_admin = caller.may_run_commands
    return await context.answer(AmendJob(job_id, patch, command_context, may_run_commands=is_admin))


@router.delete("/{job_id}", dependencies=[requires("operator")], responses={200: COMMAND})
async def delete_job(job_id: JobId, body: GivenReason, context: InContext) -> Response:
    """Delete a job and free its name; its history remains."""
    return await context.answer(DeleteJob(job_id, await context.command_context(body.reason)))

"""What happened to one job, and why: its events with the states around them, its runs, what made it
what it is.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.context import InContext, JobId, plain
from api.http.openapi import BLAME, WHY, listed
from api.schemas.queries import HistoryQuery, Page, TimedQuery, WhyQuery
from api.security.auth import requires

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])


@router.get("/events", dependencies=[requires("viewer")], responses={200: listed("events")})
async def events(
    job_id: JobId, query: Annotated[HistoryQuery, Query()], context: InContext
) -> Response:
    """A job's history, deleted or not: each event with the state before and after it."""
    is_newest_first = query.order == "desc"
    told = context.ask(
        context.queries.history, job_id, is_newest_first=is_newest_first, **query.page()
    )
    return plain(await told)


@router.get("/blame", dependencies=[requires("viewer")], responses={200: BLAME})
async def blame(
    job_id: JobId, query: Annotated[TimedQuery, Query()], context: InContext
) -> Response:
    """Each field of a job, deleted or not, with the event that gave it its value."""
    return plain(await context.ask(context.queries.blame, job_id, **query.when()))


@router.get("/runs", dependencies=[requires("viewer")], responses={200: listed("runs")})
async def runs(job_id: JobId, query: Annotated[Page, Query()], context: InContext) -> Response:
    """A job's runs, newest first, deleted or not."""
    return plain(await context.ask(context.queries.runs, job_id, **query.page()))


@router.get("/why", dependencies=[requires("viewer")], responses={200: WHY})
async def why(job_id: JobId, query: Annotated[WhyQuery, Query()], context: InContext) -> Response:
    """Why the job is running, or is not, now or at another time; deleted jobs too."""
    return plain(await context.ask(context.queries.why, job_id, **query.model_dump()))

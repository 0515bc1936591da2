"""The history of one job: events, runs, blame, and why it is in its state."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.context import GivenPage, GivenTime, InContext, JobId, plain
from api.http.openapi import BLAME, WHY, listed
from api.schemas.queries import HistoryQuery, WhyQuery
from api.security.auth import requires

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])


@router.get("/events", dependencies=[requires("viewer")], responses={200: listed("events")})
async def list_events_of_job(
    job_id: JobId, query: Annotated[HistoryQuery, Query()], context: InContext
) -> Response:
    """A job's events, each with the state before and after it; deleted jobs too."""
    is_newest_first = query.order == "desc"
    history = partial(context.queries.history, job_id, is_newest_first=is_newest_first)
    return plain(await context.ask(history, **query.page()))


@router.get("/blame", dependencies=[requires("viewer")], responses={200: BLAME})
async def blame_job(job_id: JobId, query: GivenTime, context: InContext) -> Response:
    """Each field of a job with the event that set it; deleted jobs too."""
    return plain(await context.ask(context.queries.blame, job_id, **query.when()))


@router.get("/runs", dependencies=[requires("viewer")], responses={200: listed("runs")})
async def list_runs(job_id: JobId, query: GivenPage, context: InContext) -> Response:
    """A job's runs, newest first; deleted jobs too."""
    return plain(await context.ask(context.queries.runs, job_id, **query.page()))


@router.get("/why", dependencies=[requires("viewer")], responses={200: WHY})
async def explain_job(
    job_id: JobId, query: Annotated[WhyQuery, Query()], context: InContext
) -> Response:
    """Why a job runs or does not run, now or at another time; deleted jobs too."""
    return plain(await context.ask(context.queries.why, job_id, **query.model_dump()))

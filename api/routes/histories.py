"""What happened to one job: its events with the states around them, and its runs."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import requires
from api.documents import BLAME, listed
from api.door import Door, JobId, UsesDoor, plain
from api.queries import HistoryQuery, Page, TimedQuery
from projections.blame import Blame
from projections.job_questions import read_cursor
from projections.past_runs import PastRuns

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])


@router.get("/events", dependencies=[requires("viewer")], responses={200: listed("events")})
async def events(
    job_id: JobId, query: Annotated[HistoryQuery, Query()], door: UsesDoor
) -> Response:
    """A job's history, deleted or not: each event with the state before and after it."""
    position = door.position(query.after_position)
    as_of = None if query.as_of is None else await door.past(query.as_of)
    question = partial(
        door.parts.history.page,
        job_id,
        cursor=None if query.cursor is None else read_cursor(query.cursor),
        limit=query.limit,
        is_descending=query.order == "desc",
        as_of=as_of,
    )
    page = await run_sync(question)
    following = None if page.following is None else str(page.following)
    at = position if as_of is None else as_of
    return plain({"events": page.events, "next": following, "position": at})


@router.get("/blame", dependencies=[requires("viewer")], responses={200: BLAME})
async def blame(job_id: JobId, query: Annotated[TimedQuery, Query()], door: UsesDoor) -> Response:
    """Each field of a job, deleted or not, with the event that gave it its value."""
    position = door.position(query.after_position)
    as_of = None if query.as_of is None else await door.past(query.as_of)
    question = Blame(door.ledger, door.parts.history)
    found = await run_sync(partial(question.answer, job_id, as_of=as_of))
    return plain({"blame": found, "position": position if as_of is None else as_of})


@router.get("/runs", dependencies=[requires("viewer")], responses={200: listed("runs")})
async def runs(job_id: JobId, query: Annotated[Page, Query()], door: UsesDoor) -> Response:
    """A job's runs, newest first, deleted or not."""
    position = door.position(query.after_position)
    if query.as_of is not None:
        return await _runs_at(job_id, query, door, await door.past(query.as_of))
    await run_sync(door.parts.history.require_known, job_id)
    found, following = await door.read(
        partial(door.parts.copies.runs, job_id, cursor=query.cursor, limit=query.limit),
        needs=("runs",),
        after_position=query.after_position,
    )
    return plain({"runs": found, "next": following, "position": position})


async def _runs_at(job_id: UUID, query: Page, door: Door, as_of: int) -> Response:
    version = await run_sync(door.parts.history.version_at, job_id, as_of)
    past = PastRuns(door.ledger, job_id, version)
    found, following = await run_sync(partial(past.page, cursor=query.cursor, limit=query.limit))
    return plain({"runs": found, "next": following, "position": as_of})

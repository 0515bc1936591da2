"""Why a job ran, or did not: a chain of events, and what would make it run."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import requires
from api.bootstrap import Parts
from api.documents import WHY
from api.door import JobId, UsesDoor, plain
from api.schemas import WhyQuery
from ledger.dispatch.places import Places
from projections.why.question import Why

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])


@router.get("/why", dependencies=[requires("viewer")], responses={200: WHY})
async def why(job_id: JobId, query: Annotated[WhyQuery, Query()], door: UsesDoor) -> Response:
    """Why the job is running, or is not, now or at another time; deleted jobs too."""
    position = door.position(query.after_position)
    question = _question_of(door.parts)
    if query.at is None:
        ask = partial(question.answer, job_id, position=position, here=_here(door.parts, job_id))
    else:
        position = await door.past(query.at, "at")
        at = query.at
        if not isinstance(at, datetime):
            at = await run_sync(question.instant_of, position)
        ask = partial(question.answer, job_id, position=position, at=at)
    return plain({"why": await run_sync(ask), "position": position})


def _here(parts: Parts, job_id: UUID) -> Places | None:
    """What the dispatcher of this server knows of the job, if one is at work."""
    dispatcher = parts.dispatcher
    is_at_work = dispatcher is not None and dispatcher.health()["state"] == "running"
    return dispatcher.places_for(job_id) if dispatcher is not None and is_at_work else None


def _question_of(parts: Parts) -> Why:
    return Why(parts.ledger, parts.history, parts.copies.storm_of)

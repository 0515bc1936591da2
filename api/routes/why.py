"""Why a job ran, or did not: a chain of events, and what would make it run."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import requires
from api.bootstrap import Parts
from api.documents import WHY
from api.door import JobId, UsesDoor, plain
from api.queries import WhyQuery
from projections.why.question import Why

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["history"])


@router.get("/why", dependencies=[requires("viewer")], responses={200: WHY})
async def why(job_id: JobId, query: Annotated[WhyQuery, Query()], door: UsesDoor) -> Response:
    """Why the job is running, or is not, now or at another time; deleted jobs too."""
    position = door.position(query.after_position)
    question = _question_of(door.parts)
    if query.at is None:
        known = _known(door.parts, job_id)
        ask = partial(question.answer, job_id, position=position, **known)
    else:
        position = await door.past(query.at, "at")
        at = query.at
        if not isinstance(at, datetime):
            at = await run_sync(question.instant_of, position)
        ask = partial(question.answer, job_id, position=position, at=at)
    return plain({"why": await run_sync(ask), "position": position})


def _known(parts: Parts, job_id: UUID) -> dict[str, Any]:
    """What this process knows of who dispatches now: its own dispatcher, if one is at work; or that
    nobody does, where the ledger is its own.
    """
    dispatcher, ledger = parts.dispatcher, parts.ledger
    if dispatcher is not None and dispatcher.health()["state"] == "running":
        return {"here": dispatcher.places_for(job_id)}
    is_alone = not ledger.book.is_shared and not ledger.is_read_only
    return {"is_unattended": is_alone and dispatcher is None}


def _question_of(parts: Parts) -> Why:
    return Why(parts.ledger, parts.history, parts.copies.storm_of)

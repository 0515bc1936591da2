"""Did it hold: force-resumes, what came of each, and how many held."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import requires
from api.documents import RESUMES
from api.door import UsesDoor, plain
from api.queries import ResumesQuery
from projections.resume_questions import ResumeFilter, answer

router = APIRouter(prefix="/v1/resumes", tags=["resumes"])


@router.get("", dependencies=[requires("viewer")], responses={200: RESUMES})
async def resumes(query: Annotated[ResumesQuery, Query()], door: UsesDoor) -> Response:
    """The force-resumes, the newest first, and how many of all that fit held."""
    given = query.model_dump(exclude={"after_position", "as_of", "job"})
    asked = ResumeFilter(**given, job=str(query.job) if query.job else None)
    await door.require_actor(query.actor)
    question = partial(answer, door.parts.copies, asked)
    told, position = await door.ask(query, question, needs=("resumes", "runs", "jobs"))
    found, following, rates = told
    return plain({"resumes": found, "next": following, "rates": rates, "position": position})

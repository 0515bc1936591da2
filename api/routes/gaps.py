"""Gaps: slots that jobs owed and did not run, recorded ones and those that are still open."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import requires
from api.documents import GAPS
from api.door import UsesDoor, plain
from api.queries import GapsQuery
from projections.all_gaps import AllGaps
from projections.gap_questions import GapFilter

router = APIRouter(prefix="/v1/gaps", tags=["gaps"])


@router.get("", dependencies=[requires("viewer")], responses={200: GAPS})
async def gaps(query: Annotated[GapsQuery, Query()], door: UsesDoor) -> Response:
    """The recorded gaps, the newest first; beside the first page those that are open."""
    given = query.model_dump(exclude={"after_position", "as_of", "job"})
    asked = GapFilter(**given, job=str(query.job) if query.job else None)
    parts = door.parts
    question = partial(AllGaps(parts.ledger, parts.copies, parts.history).answer, asked)
    told, position = await door.ask(query, question, needs=("gaps", "jobs"))
    return plain({**told, "position": position})

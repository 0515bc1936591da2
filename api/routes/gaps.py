"""Gaps: slots that jobs owed and did not run, recorded ones and those that are still open."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import requires
from api.documents import GAPS
from api.door import UsesDoor, plain
from api.queries import GapsQuery
from projections import open_gaps
from projections.gap_questions import GapFilter, recorded

router = APIRouter(prefix="/v1/gaps", tags=["gaps"])


@router.get("", dependencies=[requires("viewer")], responses={200: GAPS})
async def gaps(query: Annotated[GapsQuery, Query()], door: UsesDoor) -> Response:
    """The recorded gaps, the newest first; beside the first page those that are open now."""
    given = query.model_dump(exclude={"after_position", "job"})
    asked = GapFilter(**given, job=str(query.job) if query.job else None)
    position = door.position(query.after_position)
    found, following = await door.read(
        partial(recorded, door.parts.copies, asked),
        needs=("gaps", "jobs"),
        after_position=query.after_position,
    )
    told = {"gaps": found, "next": following, "position": position}
    still_open, count = await run_sync(open_gaps.find, door.ledger, asked)
    open_ones = still_open if query.cursor is None else []
    return plain(told | {"open": open_ones, "open_count": count})

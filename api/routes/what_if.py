"""What the fleet's breakers would have done under another policy. Nothing is changed by asking."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api import export
from api.asked import WhatIfBody
from api.auth import requires
from api.bodies import body_of, documented
from api.documents import WHAT_IF
from api.door import Door, UsesDoor, plain
from ledger.errors import InvalidField
from projections.job_questions import read_cursor
from projections.what_if.question import (
    CSV_COLUMNS,
    NEEDS,
    Answer,
    Asked,
    csv_row,
    require_walkable,
    what_if,
)

router = APIRouter(prefix="/v1", tags=["questions"])

GivenWhatIf = Annotated[WhatIfBody, Depends(body_of(WhatIfBody))]


@router.post(
    "/what-if",
    dependencies=[requires("viewer")],
    responses={200: WHAT_IF},
    openapi_extra=documented(WhatIfBody),
)
async def ask_what_if(body: GivenWhatIf, door: UsesDoor) -> Response:
    """Walk what was recorded again under another policy; the jobs that would have fared differently
    come in pages, or all of them as CSV.
    """
    require_walkable(body.policy)
    asked = await _asked(body, door)
    answer = await door.read(
        partial(what_if, door.ledger, door.parts.copies, asked),
        needs=NEEDS,
        after_position=asked.until,
    )
    return _csv(answer) if body.format == "csv" else _page(answer, body)


async def _asked(body: WhatIfBody, door: Door) -> Asked:
    since = 0 if body.since is None else await door.past(body.since, "since")
    until = door.position() if body.until is None else await door.past(body.until, "until")
    if until < since:
        raise InvalidField("until", "is before since")
    ids = None if body.job_ids is None else [str(job_id) for job_id in body.job_ids]
    return Asked(body.policy, since, until, body.tag, ids)


def _page(answer: Answer, body: WhatIfBody) -> Response:
    first = 0 if body.cursor is None else read_cursor(body.cursor)
    last = first + body.limit
    following = str(last) if last < len(answer.differing) else None
    jobs = [one.plain() for one in answer.differing[first:last]]
    position = answer.asked.until
    return plain({"what_if": answer.plain(), "jobs": jobs, "next": following, "position": position})


def _csv(answer: Answer) -> Response:
    rows = (csv_row(one) for one in answer.differing)
    return StreamingResponse(
        iterate_in_threadpool(export.table(CSV_COLUMNS, rows)),
        media_type=export.MEDIA_TYPES["csv"],
        headers={"Content-Disposition": 'attachment; filename="what-if.csv"'},
    )

"""What the breakers would have done under another policy. Changes nothing."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api.http import formats
from api.http.bodies import BodyOf
from api.http.context import InContext, plain
from api.http.openapi import WHAT_IF
from api.schemas.queries import WhatIfBody
from api.security.auth import requires
from projections.what_if.question import CSV_COLUMNS, WhatIf, csv_row

router = APIRouter(prefix="/v1", tags=["questions"])

GivenWhatIf = Annotated[WhatIfBody, Depends(BodyOf(WhatIfBody))]


@router.post("/what-if", dependencies=[requires("viewer")], responses={200: WHAT_IF})
async def what_if(body: GivenWhatIf, context: InContext) -> Response:
    """Simulate the recorded runs under another policy; answers the jobs that would differ as pages,
    or all of them as CSV.
    """
    question = body.model_dump(exclude={"format", "cursor", "limit"})
    found = await context.ask(context.queries.what_if, **question)
    if body.format == "csv":
        return _csv(found)
    return plain(found.page(cursor=body.cursor, limit=body.limit))


def _csv(found: WhatIf) -> Response:
    rows = (csv_row(job) for job in found.differing)
    return StreamingResponse(
        iterate_in_threadpool(formats.table(CSV_COLUMNS, rows)),
        media_type=formats.MEDIA_TYPES["csv"],
        headers={"Content-Disposition": 'attachment; filename="what-if.csv"'},
    )

"""What the fleet's breakers would have done under another policy. Nothing is changed by asking."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api.http import formats as export
from api.http.bodies import body_of, documented
from api.http.context import InContext, plain
from api.http.openapi import WHAT_IF
from api.schemas.what_if import WhatIfBody
from api.security.auth import requires
from projections.what_if.question import CSV_COLUMNS, WhatIf, csv_row

router = APIRouter(prefix="/v1", tags=["questions"])

GivenWhatIf = Annotated[WhatIfBody, Depends(body_of(WhatIfBody))]


@router.post(
    "/what-if",
    dependencies=[requires("viewer")],
    responses={200: WHAT_IF},
    openapi_extra=documented(WhatIfBody),
)
async def ask_what_if(body: GivenWhatIf, context: InContext) -> Response:
    """Walk what was recorded again under another policy; the jobs that would have fared differently
    come in pages, or all of them as CSV.
    """
    given = body.model_dump(exclude={"policy", "not_counts", "format", "cursor", "limit"})
    given["not_counting"] = body.not_counts
    found = await context.ask(context.queries.what_if, body.policy, **given)
    return (
        _csv(found)
        if body.format == "csv"
        else plain(found.page(cursor=body.cursor, limit=body.limit))
    )


def _csv(found: WhatIf) -> Response:
    rows = (csv_row(one) for one in found.differing)
    return StreamingResponse(
        iterate_in_threadpool(export.table(CSV_COLUMNS, rows)),
        media_type=export.MEDIA_TYPES["csv"],
        headers={"Content-Disposition": 'attachment; filename="what-if.csv"'},
    )

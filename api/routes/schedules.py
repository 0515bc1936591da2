"""Previews of schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.http.bodies import BodyOf
from api.http.context import InContext, plain
from api.http.openapi import PREVIEW
from api.schemas.bodies import PreviewBody
from api.security.auth import requires
from ledger.clock import rfc3339
from ledger.domain.job.spec import read_schedule
from ledger.domain.schedule.recurrence import describe, fires, require_fires

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

GivenPreview = Annotated[PreviewBody, Depends(BodyOf(PreviewBody))]


@router.post("/preview", dependencies=[requires("viewer")], responses={200: PREVIEW})
async def preview_schedule(body: GivenPreview, context: InContext) -> Response:
    """The next fires of a schedule and its text in words, or the refusal it would get."""
    after = body.after or context.ledger.clock.now()
    return plain(await run_sync(_preview, body, after))


def _preview(body: PreviewBody, after: datetime) -> dict[str, Any]:
    schedule = read_schedule(body.schedule, rfc3339(after))
    require_fires(schedule, now=after)
    found = fires(schedule, after=after, count=body.count)
    return {"fires": [rfc3339(fire) for fire in found], "text": describe(schedule)}

"""Gaps: slots that jobs missed, both recorded and still open."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.context import InContext, plain
from api.http.openapi import GAPS
from api.schemas.queries import GapsQuery
from api.security.auth import requires
from projections.models.gaps.model import GapFilter

router = APIRouter(prefix="/v1/gaps", tags=["gaps"])


@router.get("", dependencies=[requires("viewer")], responses={200: GAPS})
async def list_gaps(query: Annotated[GapsQuery, Query()], context: InContext) -> Response:
    """The recorded gaps, newest first; the first page also has the open ones."""
    filters = GapFilter(**query.filters())
    return plain(await context.ask(context.queries.gaps, filters, **query.when()))

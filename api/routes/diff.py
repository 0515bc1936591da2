"""Which jobs changed between two points in time, and who changed them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.context import InContext, plain
from api.http.openapi import DIFF
from api.schemas.queries import DiffQuery
from api.security.auth import requires

router = APIRouter(prefix="/v1", tags=["audit"])


@router.get("/diff", dependencies=[requires("viewer")], responses={200: DIFF})
async def compare_jobs(query: Annotated[DiffQuery, Query()], context: InContext) -> Response:
    """The jobs that were scheduled, deleted or changed, each field with its last change."""
    return plain(await context.ask(context.queries.diff, **query.model_dump()))

"""What changed across the fleet between two moments, and who changed it."""

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
async def diff(query: Annotated[DiffQuery, Query()], context: InContext) -> Response:
    """The jobs that were made, deleted or changed, each field with its last change."""
    filters = query.model_dump(exclude={"begin", "to"})
    return plain(await context.ask(context.queries.diff, query.begin, query.to, **filters))

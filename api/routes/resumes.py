"""Force-resumes, the outcome of each, and how many held."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.context import InContext, plain
from api.http.openapi import RESUMES
from api.schemas.queries import ResumesQuery
from api.security.auth import requires
from projections.models.resumes.queries import ResumeFilter

router = APIRouter(prefix="/v1/resumes", tags=["resumes"])


@router.get("", dependencies=[requires("viewer")], responses={200: RESUMES})
async def list_resumes(query: Annotated[ResumesQuery, Query()], context: InContext) -> Response:
    """The force-resumes, newest first, and how many of all matching ones held."""
    filters = ResumeFilter(**query.filters())
    return plain(await context.ask(context.queries.resumes, filters, **query.when()))

"""Storms: jobs that failed together for the same reason."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.context import GivenTime, InContext, plain
from api.http.openapi import ONE_STORM, listed
from api.schemas.queries import StormsQuery
from api.security.auth import requires

router = APIRouter(prefix="/v1/storms", tags=["storms"])


@router.get("", dependencies=[requires("viewer")], responses={200: listed("storms")})
async def list_storms(query: Annotated[StormsQuery, Query()], context: InContext) -> Response:
    """The storms, open and past, newest first."""
    return plain(await context.ask(context.queries.storms, only_open=query.open, **query.page()))


@router.get("/{storm_id}", dependencies=[requires("viewer")], responses={200: ONE_STORM})
async def show_storm(storm_id: str, query: GivenTime, context: InContext) -> Response:
    """One storm with its first failure, its jobs, its failures per minute, the fires lost to it and
    the notices sent.
    """
    return plain(await context.ask(context.queries.storm, storm_id, **query.when()))

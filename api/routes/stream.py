"""The audit as it happens: server-sent events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.http.context import InContext, RequestContext
from api.http.openapi import STREAM
from api.routes.events import filters_of
from api.schemas.bodies import HIGHEST_POSITION
from api.schemas.queries import StreamQuery
from api.security.auth import Principal, UsesCaller, requires
from api.stream.answer import EventStream
from api.stream.client import Client
from api.stream.tail import Tail
from ledger.errors import InvalidField

LAST_SEEN = "Last-Event-ID"

router = APIRouter(prefix="/v1/events", tags=["audit"])


@router.get("/stream", dependencies=[requires("viewer")], responses={200: STREAM})
async def stream(
    query: Annotated[StreamQuery, Query()], request: Request, caller: UsesCaller, context: InContext
) -> Response:
    """Every event that matches from now on, or after `Last-Event-ID`, without gap or double."""
    tail: Tail = request.app.state.tail
    client = Client(filters_of(query), _position(context, query.after_position))
    tail.require_place()
    return EventStream(
        tail,
        client,
        lambda: _is_alive(context, caller),
        readers=request.app.state.stream_readers,
        heartbeat_seconds=request.app.state.heartbeat_seconds,
    )


def _position(context: RequestContext, asked: int | None) -> int:
    """After which position to begin. The header, which browsers send when they come again, goes
    before the parameter.
    """
    told = context.request.headers.get(LAST_SEEN)
    if told is None:
        end = context.answers.positions.resolve(None, asked).position
        return end if asked is None else asked
    if not (told.isascii() and told.isdigit() and len(told) <= len(str(HIGHEST_POSITION))):
        raise InvalidField(LAST_SEEN, "must be a position: the id of the last event seen")
    end = context.ledger.writer.position
    if int(told) > end:
        raise InvalidField(LAST_SEEN, f"is beyond the end of the book, which is {end}")
    return int(told)


def _is_alive(context: RequestContext, caller: Principal) -> bool:
    now = context.ledger.clock.now()
    return context.parts.tokens.alive(caller.token.id, now) is not None

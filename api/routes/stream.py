"""The audit as a live stream of server-sent events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.http.context import InContext, RequestContext
from api.http.openapi import STREAM
from api.schemas.queries import StreamQuery
from api.schemas.types import HIGHEST_POSITION
from api.security.auth import Principal, UsesCaller, requires
from api.stream.answer import EventStream
from api.stream.client import Client
from api.stream.tail import Tail
from ledger.errors import InvalidField
from ledger.store.audit_query import AuditQuery

LAST_SEEN = "Last-Event-ID"

router = APIRouter(prefix="/v1/events", tags=["audit"])


@router.get("/stream", dependencies=[requires("viewer")], responses={200: STREAM})
async def stream_events(
    query: Annotated[StreamQuery, Query()], request: Request, caller: UsesCaller, context: InContext
) -> Response:
    """Every matching event from now on, or after `Last-Event-ID`, exactly once."""
    tail: Tail = request.app.state.tail
    client = Client(AuditQuery(**query.filters()), _start(context, query.after_position))
    tail.require_room()
    return EventStream(
        tail,
        client,
        lambda: _is_alive(context, caller),
        readers=request.app.state.stream_readers,
        heartbeat_seconds=request.app.state.heartbeat_seconds,
    )


def _start(context: RequestContext, after_position: int | None) -> int:
    """The position to start after. The header, which browsers send when they reconnect, overrides
    the parameter.
    """
    last_seen = context.request.headers.get(LAST_SEEN)
    if last_seen is None:
        end = context.queries.positions.resolve(None, after_position).position
        return end if after_position is None else after_position
    is_number = last_seen.isascii() and last_seen.isdigit()
    if not is_number or len(last_seen) > len(str(HIGHEST_POSITION)):
        raise InvalidField(LAST_SEEN, "must be a position: the id of the last event received")
    end = context.ledger.writer.position
    if int(last_seen) > end:
        raise InvalidField(LAST_SEEN, f"is beyond the last position of the ledger, {end}")
    return int(last_seen)


def _is_alive(context: RequestContext, caller: Principal) -> bool:
    now = context.ledger.clock.now()
    return context.parts.tokens.alive(caller.token.id, now) is not None

"""The audit: every event of the ledger, filtered, in pages or as a file."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api import export
from api.auth import requires
from api.documents import AUDIT
from api.door import UsesDoor, plain
from api.queries import EventFilters, EventsQuery
from api.schemas import DEFAULT_PAGE
from ledger.errors import InvalidField
from ledger.store.application import Ledger
from ledger.store.query import MAX_PAGE, AuditQuery
from ledger.store.reading import microseconds
from projections.job_questions import read_cursor

router = APIRouter(prefix="/v1", tags=["audit"])

WRITERS = {"jsonl": export.jsonl, "csv": export.csv_rows}


@router.get("/events", dependencies=[requires("viewer")], responses={200: AUDIT})
async def events(query: Annotated[EventsQuery, Query()], door: UsesDoor) -> Response:
    """The events that match every filter given; read from the book itself."""
    position = door.position(query.after_position)
    if query.since is not None and query.until is not None and query.until < query.since:
        raise InvalidField("until", "is before since")
    await door.require_actor(query.actor)
    audit = await run_sync(audit_query, door.ledger, query, position)
    return await ANSWERS[query.format](door.ledger, query, audit)


def audit_query(ledger: Ledger, query: EventsQuery, position: int) -> AuditQuery:
    """What is asked of the book. Instants become positions; nothing after `position` is told."""
    since, until = query.since, query.until
    after = 0 if since is None else ledger.book.position_at(microseconds(since) - 1)
    end = position if until is None else ledger.reading.position_at(until)
    return replace(
        filters_of(query),
        after_position=after,
        until_position=end,
        order=query.order,
        cursor=None if query.cursor is None else read_cursor(query.cursor),
    )


def filters_of(query: EventFilters) -> AuditQuery:
    """The filters that the audit and its stream have in common."""
    return AuditQuery(
        actor=query.actor,
        kind=query.kind,
        topics=tuple(query.topic),
        stream=query.job,
        source=query.source,
        correlation_id=query.correlation_id,
        failure_class=query.failure_class,
    )


async def _page(ledger: Ledger, query: EventsQuery, audit: AuditQuery) -> Response:
    limit = query.limit or DEFAULT_PAGE
    if limit > MAX_PAGE:
        raise InvalidField("limit", f"must be at most {MAX_PAGE} with format json")
    page = await run_sync(ledger.reading.audit, replace(audit, limit=limit))
    following = None if page.following is None else str(page.following)
    return plain({"events": page.events, "next": following, "position": page.position})


async def _file(ledger: Ledger, query: EventsQuery, audit: AuditQuery) -> Response:
    events = islice(ledger.reading.export(audit), query.limit)
    pieces = WRITERS[query.format](events)
    name = f"events.{query.format}"
    return StreamingResponse(
        iterate_in_threadpool(pieces),
        media_type=export.MEDIA_TYPES[query.format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


ANSWERS = {"json": _page, "jsonl": _file, "csv": _file}

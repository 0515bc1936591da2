"""The audit: every event of the ledger, filtered, in pages or as a file."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api.http import formats as export
from api.http.context import InContext, RequestContext, plain
from api.http.openapi import AUDIT
from api.schemas.bodies import DEFAULT_PAGE
from api.schemas.queries import EventFilters, EventsQuery
from api.security.auth import requires
from ledger.errors import InvalidField
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from projections.filters.paging import read_cursor
from projections.history.audit import TimeRange

router = APIRouter(prefix="/v1", tags=["audit"])

WRITERS = {"jsonl": export.jsonl, "csv": export.csv_rows}


@router.get("/events", dependencies=[requires("viewer")], responses={200: AUDIT})
async def events(query: Annotated[EventsQuery, Query()], context: InContext) -> Response:
    """The events that match every filter given; read from the book itself."""
    return await ANSWERS[query.format](context, query, audit_query(query))


def audit_query(query: EventsQuery) -> AuditQuery:
    """What is asked of the book, but for its stretch."""
    cursor = None if query.cursor is None else read_cursor(query.cursor)
    return replace(filters_of(query), order=query.order, cursor=cursor)


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


async def _page(context: RequestContext, query: EventsQuery, audit: AuditQuery) -> Response:
    limit = query.limit or DEFAULT_PAGE
    if limit > MAX_PAGE:
        raise InvalidField("limit", f"must be at most {MAX_PAGE} with format json")
    asked = replace(audit, limit=limit)
    return plain(await context.ask(context.answers.audit, asked, _stretch(query), **_after(query)))


async def _file(context: RequestContext, query: EventsQuery, audit: AuditQuery) -> Response:
    found = await context.ask(context.answers.export, audit, _stretch(query), **_after(query))
    return StreamingResponse(
        iterate_in_threadpool(WRITERS[query.format](islice(found, query.limit))),
        media_type=export.MEDIA_TYPES[query.format],
        headers={"Content-Disposition": f'attachment; filename="events.{query.format}"'},
    )


def _stretch(query: EventsQuery) -> TimeRange:
    return TimeRange(query.since, query.until)


def _after(query: EventsQuery) -> dict[str, Any]:
    return {"after_position": query.after_position}


ANSWERS = {"json": _page, "jsonl": _file, "csv": _file}

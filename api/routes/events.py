"""The audit: every event of the ledger, filtered, as pages or as a file; and which jobs changed
between two points in time.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from api.http import formats
from api.http.context import InContext, RequestContext, plain
from api.http.openapi import AUDIT, DIFF
from api.schemas.queries import DiffQuery, EventsQuery
from api.schemas.types import DEFAULT_PAGE
from api.security.auth import requires
from ledger.errors import InvalidField
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from projections.filters.paging import cursor_or
from projections.history.audit import TimeRange

router = APIRouter(prefix="/v1", tags=["audit"])

WRITERS = {"jsonl": formats.jsonl, "csv": formats.csv_rows}


@router.get("/events", dependencies=[requires("viewer")], responses={200: AUDIT})
async def list_events(query: Annotated[EventsQuery, Query()], context: InContext) -> Response:
    """The events that match every filter given, read from the event store itself."""
    return await ANSWERS[query.format](context, query)


@router.get("/diff", dependencies=[requires("viewer")], responses={200: DIFF})
async def compare_jobs(query: Annotated[DiffQuery, Query()], context: InContext) -> Response:
    """The jobs that were scheduled, deleted or changed, each field with its last change."""
    return plain(await context.ask(context.queries.diff, **query.model_dump()))


async def _page(context: RequestContext, query: EventsQuery) -> Response:
    limit = query.limit or DEFAULT_PAGE
    if limit > MAX_PAGE:
        raise InvalidField("limit", f"must be at most {MAX_PAGE} with format json")
    audit = replace(_audit_query(query), limit=limit)
    return plain(await context.ask(context.queries.audit, audit, _range(query), **_after(query)))


async def _file(context: RequestContext, query: EventsQuery) -> Response:
    audit = _audit_query(query)
    found = await context.ask(context.queries.export, audit, _range(query), **_after(query))
    return StreamingResponse(
        iterate_in_threadpool(WRITERS[query.format](islice(found, query.limit))),
        media_type=formats.MEDIA_TYPES[query.format],
        headers={"Content-Disposition": f'attachment; filename="events.{query.format}"'},
    )


def _audit_query(query: EventsQuery) -> AuditQuery:
    cursor = cursor_or(query.cursor, None)
    return AuditQuery(**query.filters(), order=query.order, cursor=cursor)


def _range(query: EventsQuery) -> TimeRange:
    return TimeRange(query.since, query.until)


def _after(query: EventsQuery) -> dict[str, Any]:
    return {"after_position": query.after_position}


ANSWERS = {"json": _page, "jsonl": _file, "csv": _file}

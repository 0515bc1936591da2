"""The parameters of queries, every name known; one query, which needs more, has a body."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.bodies import Body
from api.schemas.types import (
    CURSOR,
    DEFAULT_PAGE,
    FailureClass,
    Filter,
    Instant,
    Kind,
    Plain,
    PointInTime,
    Position,
    Source,
    Status,
    Topic,
    enum,
    one_of,
)
from ledger.store.audit_query import MAX_PAGE
from projections.models.gaps.model import CAUSES
from projections.models.resumes.model import OUTCOMES

MAX_NAMED_JOBS = 1000
"""Jobs that a what-if query may name one by one; it may also select them by a tag."""
MAX_CLASSES = 100
"""More than there are failure classes."""


class Query(BaseModel):
    """Parameters that refuse unknown names, since a mistyped filter would match everything."""

    model_config = ConfigDict(extra="forbid")

    after_position: Position | None = Field(
        None, description="Wait until this position is readable (503 after 2 s)."
    )


class TimedQuery(Query):
    as_of: PointInTime | None = Field(
        None, description="The answer as of this position or instant; default: now."
    )

    def when(self) -> dict[str, Any]:
        """The point in time, as every query of the ledger takes it."""
        return self.model_dump(include=set(TimedQuery.model_fields))


class PageQuery(TimedQuery):
    cursor: Filter | None = Field(None, description=CURSOR)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)

    def page(self) -> dict[str, Any]:
        """The point in time and the page."""
        return self.model_dump(include=set(PageQuery.model_fields))

    def filters(self) -> dict[str, Any]:
        """The filters and the page, as the filter of a projection has them."""
        return self.model_dump(exclude=set(TimedQuery.model_fields))


class JobsQuery(PageQuery):
    status: Status | None = None
    tag: Filter | None = None
    q: Filter | None = Field(None, description="Words in the name.")
    failure_class: FailureClass | None = None


class StormsQuery(PageQuery):
    open: bool = Field(False, description="Only open storms.")


class HistoryQuery(PageQuery):
    order: Literal["asc", "desc"] = "asc"


class ResumesQuery(PageQuery):
    actor: Filter | None = None
    failure_class: FailureClass | None = None
    job: UUID | None = None
    since: Instant | None = Field(None, description="Forced at or after.")
    until: Instant | None = Field(None, description="Forced at or before.")
    outcome: Annotated[str, one_of(OUTCOMES), enum(OUTCOMES)] | None = None


class GapsQuery(PageQuery):
    job: UUID | None = None
    tag: Filter | None = None
    cause: Annotated[str, one_of(CAUSES), enum(CAUSES)] | None = None
    since: Instant | None = Field(None, description="Slots missed at or after.")
    until: Instant | None = Field(None, description="Slots missed at or before.")


class WhyQuery(Query):
    at: PointInTime | None = Field(
        None, description="The position or instant to explain; default: now."
    )


class DiffQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    begin: PointInTime = Field(alias="from", description="The earlier position or instant.")
    end: PointInTime | None = Field(
        None, alias="to", description="The later position or instant; default: now."
    )
    tag: Filter | None = Field(None, description="Only jobs that had this tag before or after.")
    actor: Filter | None = Field(None, description="Only what this actor changed last.")
    cursor: Filter | None = Field(None, description=CURSOR)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class WhatIfBody(Body):
    policy: Plain = Field({}, description="The policy keys to change, on top of each job's own.")
    not_counting: list[Filter] = Field(
        [],
        alias="not_counts",
        max_length=MAX_CLASSES,
        description="Failure classes that do not count, removed from what each job counted.",
    )
    since: PointInTime | None = Field(
        None, description="Apply the change from this position or instant; default: the beginning."
    )
    until: PointInTime | None = Field(
        None, description="Simulate up to this position or instant; default: now."
    )
    tag: Filter | None = Field(None, description="Only jobs with this tag.")
    job_ids: list[Annotated[UUID, Field(strict=False)]] | None = Field(
        None, min_length=1, max_length=MAX_NAMED_JOBS
    )
    cursor: Filter | None = Field(None, description=CURSOR)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    format: Literal["json", "csv"] = "json"


# -- events ---------------------------------------------------------------------------------------


class EventFilters(Query):
    """The filters of the audit and of its stream; the names in code are those of AuditQuery."""

    actor: Filter | None = None
    kind: Kind | None = None
    topics: tuple[Topic, ...] = Field((), alias="topic")
    stream: UUID | None = Field(None, alias="job")
    source: Source | None = None
    correlation_id: Filter | None = None
    failure_class: FailureClass | None = None

    def filters(self) -> dict[str, Any]:
        """The filters, as AuditQuery has them."""
        names = EventFilters.model_fields.keys() - Query.model_fields.keys()
        return self.model_dump(include=names)


class StreamQuery(EventFilters):
    after_position: Position | None = Field(
        None, description="Start after this position; default: the end of the ledger."
    )


class EventsQuery(EventFilters):
    since: Instant | None = Field(None, description="Recorded at or after.")
    until: Instant | None = Field(None, description="Recorded at or before.")
    order: Literal["asc", "desc"] = "asc"
    cursor: Filter | None = Field(None, description=CURSOR)
    limit: int | None = Field(
        None,
        ge=1,
        description="Page size for json (default 50, max 1000); for jsonl and csv, the most "
        "events in the file.",
    )
    format: Literal["json", "jsonl", "csv"] = "json"

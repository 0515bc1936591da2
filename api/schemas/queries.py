"""The shapes of queries: the parameters of each address that only asks, every name known."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.bodies import (
    AS_OF,
    DEFAULT_PAGE,
    AsOf,
    FailureClass,
    Filter,
    Instant,
    Kind,
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


class Query(BaseModel):
    """Parameters whose names are exact: a mistyped filter must not answer everything."""

    model_config = ConfigDict(extra="forbid")

    after_position: Position | None = Field(
        None, description="Answer once this position has been taken in (503 after 2 s)."
    )


class TimedQuery(Query):
    as_of: AsOf | None = AS_OF

    def when(self) -> dict[str, Any]:
        """What every question that may be about the past takes."""
        return {"as_of": self.as_of, "after_position": self.after_position}


class Page(TimedQuery):
    """A page that may be asked for as it stood."""

    cursor: Filter | None = Field(None, description="The `next` of the page before.")
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)

    def page(self) -> dict[str, Any]:
        """The same of a question that has pages."""
        return {**self.when(), "cursor": self.cursor, "limit": self.limit}

    def filters(self) -> dict[str, Any]:
        """What narrows the question, with its page."""
        return self.model_dump(exclude=set(TimedQuery.model_fields))


class JobsQuery(Page):
    status: Status | None = None
    tag: Filter | None = None
    q: Filter | None = Field(None, description="Words in the name.")
    failure_class: FailureClass | None = None


class StormsQuery(Page):
    open: bool = Field(False, description="Only those that are open now.")


class WhyQuery(Query):
    at: AsOf | None = Field(
        None, description="At this instant, or at this position; now, if left out."
    )


class ResumesQuery(Page):
    actor: Filter | None = None
    failure_class: FailureClass | None = None
    job: UUID | None = None
    since: Instant | None = Field(None, description="Forced at or after.")
    until: Instant | None = Field(None, description="Forced at or before.")
    outcome: Annotated[str, one_of(OUTCOMES), enum(OUTCOMES)] | None = None


class GapsQuery(Page):
    job: UUID | None = None
    tag: Filter | None = None
    cause: Annotated[str, one_of(CAUSES), enum(CAUSES)] | None = None
    since: Instant | None = Field(None, description="Slots missed at or after.")
    until: Instant | None = Field(None, description="Slots missed at or before.")


class HistoryQuery(Page):
    order: Literal["asc", "desc"] = "asc"


class DiffQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    begin: AsOf = Field(alias="from", description="How it was at this position, or instant …")
    to: AsOf | None = Field(None, description="… and how at this one; now, if left out.")
    tag: Filter | None = Field(None, description="Only jobs with this tag, before or after.")
    actor: Filter | None = Field(None, description="Only what this actor changed last.")
    cursor: Filter | None = Field(None, description="The `next` of the page before.")
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class EventFilters(Query):
    actor: Filter | None = None
    kind: Kind | None = None
    topic: list[Topic] = []
    job: UUID | None = None
    source: Source | None = None
    correlation_id: Filter | None = None
    failure_class: FailureClass | None = None


class StreamQuery(EventFilters):
    after_position: Position | None = Field(
        None, description="Begin after this position; left out, with what happens from now on."
    )


class EventsQuery(EventFilters):
    since: Instant | None = Field(None, description="Recorded at or after.")
    until: Instant | None = Field(None, description="Recorded at or before.")
    order: Literal["asc", "desc"] = "asc"
    cursor: Filter | None = None
    limit: int | None = Field(
        None, ge=1, description="Of json: the page's size, 50, at most 1000. Of jsonl, csv: none."
    )
    format: Literal["json", "jsonl", "csv"] = "json"

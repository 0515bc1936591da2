"""The shapes of questions that come as a body, since they say more than an address can."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.bodies import DEFAULT_PAGE, AsOf, Body, Filter, Plain
from ledger.store.audit_query import MAX_PAGE

MAX_NAMED_JOBS = 1000
"""Jobs that a question may name one by one; more of them have a tag."""
MAX_CLASSES = 100
"""More words than there are failure classes."""

AnyId = Annotated[UUID, Field(strict=False)]
"""JSON has no ids of its own: a text that is one."""


class WhatIfBody(Body):
    policy: Plain = Field({}, description="The keys of a policy to change, over what each job had.")
    not_counts: list[Filter] = Field(
        [], max_length=MAX_CLASSES, description="Failure classes taken out of what each job counts."
    )
    since: AsOf | None = Field(None, description="As if it had come after this; the beginning.")
    until: AsOf | None = Field(None, description="Walk up to this position or instant; the end.")
    tag: Filter | None = Field(None, description="Only jobs with this tag.")
    job_ids: list[AnyId] | None = Field(None, min_length=1, max_length=MAX_NAMED_JOBS)
    cursor: Filter | None = Field(None, description="The `next` of the page before.")
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)
    format: Literal["json", "csv"] = "json"

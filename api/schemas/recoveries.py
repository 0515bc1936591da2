"""What a recovery is asked with: whom, how fast, with which probe, and when it gives up."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field, WithJsonSchema

from api.schemas.bodies import Body, FailureClass, Filter, Reason
from ledger.domain.recovery.plan import (
    DEFAULT_ABORT_ON,
    DEFAULT_RATE,
    MAX_JOBS,
    MAX_RATE,
    MIN_RATE,
    Terms,
)
from ledger.domain.recovery.selection import Selector


def _id(given: object) -> UUID:
    if not isinstance(given, str):
        raise ValueError("must be the id of a job")
    try:
        return UUID(given)
    except ValueError:
        raise ValueError("must be the id of a job") from None


GivenJobId = Annotated[
    UUID, BeforeValidator(_id), WithJsonSchema({"type": "string", "format": "uuid"})
]


class TermsBody(Body):
    reason: Reason | None = None
    probe: GivenJobId | None = Field(
        None, description="The job that goes first, at once; the others follow if it succeeds."
    )
    rate_per_minute: float = Field(
        DEFAULT_RATE, ge=MIN_RATE, le=MAX_RATE, description="Jobs that come back in a minute."
    )
    abort_on: int | None = Field(
        DEFAULT_ABORT_ON,
        ge=1,
        le=MAX_JOBS,
        description="Give up when so many have tripped again; null: never.",
    )
    dry_run: bool = Field(False, description="Say what would happen, and keep nothing.")

    def terms(self) -> Terms:
        """As the ledger takes them."""
        rate = float(self.rate_per_minute)  # the default is not made a float
        return Terms(self.probe, int(rate) if rate.is_integer() else rate, self.abort_on)


class SelectorBody(Body):
    tag: Filter | None = None
    failure_class: FailureClass | None = None
    job_ids: list[GivenJobId] | None = Field(None, min_length=1, max_length=MAX_JOBS)

    def selector(self) -> Selector:
        """As the ledger takes it. Refuses InvalidField when nothing is given."""
        ids = None if self.job_ids is None else tuple(self.job_ids)
        return Selector(self.tag, self.failure_class, ids)


class RecoveryBody(TermsBody):
    selector: SelectorBody = Field(
        description="tag, failure_class, job_ids: at least one; failed jobs that fit all given."
    )

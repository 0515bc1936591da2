"""The types that bodies and queries have in common: instants, positions, limits, known words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ledger.clock import parse_rfc3339
from ledger.domain.event_context import ACTOR_KINDS, SOURCES
from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.domain.streams.tokens import ROLES
from ledger.store.mapper import TOPICS
from projections.models.jobs.queries import STATUSES

LONGEST_REASON = 4096
LONGEST_FILTER = 200
HIGHEST_POSITION = 2**63 - 1
DEFAULT_PAGE = 50
CURSOR = "The `next` of the page before."


def _instant(given: object) -> object:
    if not isinstance(given, str):
        raise ValueError("must be a text such as 2026-01-31T09:00:00Z")
    try:
        return parse_rfc3339(given)
    except (ValueError, OverflowError):
        raise ValueError("must be an instant with an offset: 2026-01-31T09:00:00Z") from None


def _point_in_time(given: object) -> object:
    """A position, if it is a number or all digits, else an instant."""
    if type(given) is int and 0 <= given <= HIGHEST_POSITION:
        return given
    if isinstance(given, str) and given.isascii() and given.isdigit():
        return int(given[: len(str(HIGHEST_POSITION)) + 1])
    try:
        return _instant(given)
    except ValueError:
        raise ValueError("must be a position, or an instant with an offset") from None


def _job_id(given: object) -> UUID:
    if not isinstance(given, str):
        raise ValueError("must be the id of a job")
    try:
        return UUID(given)
    except ValueError:
        raise ValueError("must be the id of a job") from None


def one_of(words: Iterable[str]) -> AfterValidator:
    """Refuses any other word, and lists the known ones."""
    known = tuple(words)

    def check(word: str) -> str:
        if word not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return word

    return AfterValidator(check)


def enum(words: Iterable[str]) -> WithJsonSchema:
    """Documents the known words in OpenAPI."""
    return WithJsonSchema({"type": "string", "enum": list(words)})


Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
Reason = Annotated[str, Field(max_length=LONGEST_REASON, description="Why, for the audit.")]
Filter = Annotated[str, Field(max_length=LONGEST_FILTER)]
Position = Annotated[int, Field(ge=0, le=HIGHEST_POSITION)]
PointInTime = Annotated[
    int | datetime,
    BeforeValidator(_point_in_time),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,18}$|^[0-9-]{10}T"}),
]
"""A position, or an instant, which stands for the last position recorded until then."""
JobIdText = Annotated[
    UUID, BeforeValidator(_job_id), WithJsonSchema({"type": "string", "format": "uuid"})
]
"""The id of a job in a JSON body."""
Plain = dict[str, Any]
AnyJob = Annotated[object, WithJsonSchema({"type": "object"})]
"""Checked one by one, so that an invalid one does not refuse the others."""

Status = Annotated[str, one_of(STATUSES), enum(STATUSES)]
FailureClass = Annotated[str, one_of(FAILURE_CLASSES), enum(FAILURE_CLASSES)]
Kind = Annotated[str, one_of(ACTOR_KINDS), enum(ACTOR_KINDS)]
Source = Annotated[str, one_of(SOURCES), enum(SOURCES)]
TokenRole = Annotated[str, one_of(ROLES), enum(ROLES)]
Topic = Annotated[str, one_of(TOPICS), enum(TOPICS)]

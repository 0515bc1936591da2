"""The words in which shapes that come in are put, and the bodies of commands, every key known.
Deeper maps are the ledger's to judge, so that there is one truth about schedules, executors and
policies.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ledger.clock import parse_rfc3339
from ledger.domain.job.executor_spec import NAME_CHARACTERS
from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.domain.job.spec import (
    MAX_DESCRIPTION_BYTES,
    MAX_NAME,
    MAX_TAG,
    MAX_TAGS,
    MAX_TASK_BYTES,
)
from ledger.domain.metadata import ACTOR_KINDS, SOURCES
from ledger.domain.streams.tokens import ROLES
from ledger.store.mapper import TOPICS
from projections.models.jobs.queries import STATUSES

LONGEST_REASON = 4096
LONGEST_FILTER = 200
HIGHEST_POSITION = 2**63 - 1
DEFAULT_PAGE = 50
PREVIEWED = 5
LONGEST_LEASE_SECONDS = 86_400.0
LONGEST_WAIT_SECONDS = 60.0
MAX_IMPORTED = 500
"""Jobs in one import; whoever has more sends several."""


def _instant(given: object) -> object:
    if not isinstance(given, str):
        raise ValueError("must be a text such as 2026-01-31T09:00:00Z")
    try:
        return parse_rfc3339(given)
    except (ValueError, OverflowError):
        raise ValueError("must be an instant with an offset: 2026-01-31T09:00:00Z") from None


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Reason = Annotated[str, Field(max_length=LONGEST_REASON, description="Why, for the audit.")]
Filter = Annotated[str, Field(max_length=LONGEST_FILTER)]
Position = Annotated[int, Field(ge=0, le=HIGHEST_POSITION)]
Plain = dict[str, Any]
AnyJob = Annotated[object, WithJsonSchema({"type": "object"})]
"""Judged by itself, so that one that is no object does not stop the others."""


def _moment(given: object) -> object:
    """A position, if it is a number or all digits, else an instant."""
    if type(given) is int and 0 <= given <= HIGHEST_POSITION:
        return given
    if isinstance(given, str) and given.isascii() and given.isdigit():
        return int(given[: len(str(HIGHEST_POSITION)) + 1])
    try:
        return _instant(given)
    except ValueError:
        raise ValueError("must be a position, or an instant with an offset") from None


AsOf = Annotated[
    int | datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,18}$|^[0-9-]{10}T"}),
]
"""A place in the past: a position, or an instant, which means what was recorded until then."""
AS_OF: Any = Field(None, description="As it stood at this position, or at this instant.")


def one_of(words: Iterable[str]) -> AfterValidator:
    """Refuses any other word; says in OpenAPI which there are."""
    known = tuple(words)

    def check(word: str) -> str:
        if word not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return word

    return AfterValidator(check)


def enum(words: Iterable[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(words)})


Status = Annotated[str, one_of(STATUSES), enum(STATUSES)]
FailureClass = Annotated[str, one_of(FAILURE_CLASSES), enum(FAILURE_CLASSES)]
Kind = Annotated[str, one_of(ACTOR_KINDS), enum(ACTOR_KINDS)]
Source = Annotated[str, one_of(SOURCES), enum(SOURCES)]
Role = Annotated[str, one_of(ROLES), enum(ROLES)]
Topic = Annotated[str, one_of(TOPICS), enum(TOPICS)]


# -- bodies -------------------------------------------------------------------------------------


class Body(BaseModel):
    """A JSON object whose keys are exact and whose types are not bent."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PauseBody(Body):
    reason: Reason | None = None
    until: Instant | None = Field(None, description="When the pause ends by itself.")


class ResumeBody(Body):
    force: bool = Field(False, description="Bring a failed job back: its cause is gone.")
    reason: Reason | None = None
    run_at: Instant | None = Field(None, description="Go on at this instant.")
    run_now: bool = Field(False, description="Go on with a run at once.")


class ReasonBody(Body):
    reason: Reason | None = None


class PreviewBody(Body):
    schedule: Plain = Field(description="As in a job.")
    after: Instant | None = Field(None, description="From when; now, if left out.")
    count: int = Field(PREVIEWED, description="How many fires to name.")


class ClaimBody(Body):
    queue: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    lease_seconds: float | None = Field(
        None, ge=1, le=LONGEST_LEASE_SECONDS, description="Left out: what the job's policy says."
    )
    wait_seconds: float = Field(
        0, ge=0, le=LONGEST_WAIT_SECONDS, description="How long to wait for something to be due."
    )


class HeartbeatBody(Body):
    lease_seconds: float | None = Field(
        None, ge=1, le=LONGEST_LEASE_SECONDS, description="Left out: what the job's policy says."
    )


class SuccessBody(Body):
    output: str = Field("", description="A text that starts with Error: reports a failure.")


class FailureBody(Body):
    error: str = Field(min_length=1)
    failure_class: FailureClass | None = Field(
        None, description="Left out: by what the error says; never lost nor blocked."
    )
    retry_after_seconds: float | None = Field(
        None, ge=0, le=86_400, description="Before then the run is not tried again."
    )


class ImportBody(Body):
    origin: str = Field(description="The scheduler they come from: crontab.")
    jobs: list[AnyJob] = Field(
        min_length=1,
        max_length=MAX_IMPORTED,
        description='{"spec" (as a new job), "origin_id", "status"?, "consecutive_errors"?, '
        '"last_error"?, "last_run_at"?, "run_count"?, "imported"? (what was not understood)}',
    )
    dry_run: bool = Field(False, description="Decide everything and keep nothing.")


class TokenBody(Body):
    name: str = Field(min_length=1, max_length=MAX_NAME)
    role: Role
    kind: Kind | None = Field(None, description="Left out: worker for that role, else user.")
    expires_at: Instant | None = None


class JobPatch(Body):
    """RFC 7396 merge patch: what is named changes, null takes away. For documentation: the ledger
    itself reads these keys.
    """

    name: str = Field("", min_length=1, max_length=MAX_NAME)
    description: str | None = Field(None, max_length=MAX_DESCRIPTION_BYTES)
    schedule: Plain = Field(
        {},
        description='{"kind": "at", "at"}, {"kind": "every", "interval_seconds", "anchor"?, '
        '"anchor_at"?} or {"kind": "cron", "expr", "tz"?, "dst"?}',
        examples=[{"kind": "cron", "expr": "0 9 * * 1-5", "tz": "Europe/Berlin"}],
    )
    task: str = Field("", max_length=MAX_TASK_BYTES)
    executor: Plain | None = Field(
        None,
        description='{"kind": "http", "url", "headers"?}, {"kind": "command", "argv", "env"?, '
        '"cwd"?}, {"kind": "python", "handler"}, {"kind": "worker", "queue"} or {"kind": "noop"}; '
        "left out: the agent at JOBLEDGER_AGENT_URL",
        examples=[{"kind": "http", "url": "https://agent.example/run"}],
    )
    delivery: Plain | None = Field(None, description='{"channel", "target"?}')
    policy: Plain | None = Field(None, description="trip_after, backoff_seconds, counts, …")
    tags: list[Annotated[str, Field(min_length=1, max_length=MAX_TAG)]] = Field(
        [], max_length=MAX_TAGS
    )
    enabled: bool = True
    delete_after_run: bool = False


class JobSpec(JobPatch):
    """A new job. For documentation: the ledger itself reads these keys."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    schedule: Plain = Field(description="As in a change of a job.")
    policy: Plain | None = Field(None, description="Left out: Phantom's defaults, written out.")

"""The bodies of commands. Every key is known; schedules, executors and policies are checked by the
ledger alone.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.types import (
    AnyJob,
    FailureClass,
    Filter,
    Instant,
    JobIdText,
    Kind,
    Plain,
    Reason,
    TokenRole,
)
from ledger.domain.job.executor_spec import NAME_CHARACTERS
from ledger.domain.job.spec import (
    MAX_DESCRIPTION_BYTES,
    MAX_NAME,
    MAX_TAG,
    MAX_TAGS,
    MAX_TASK_BYTES,
)
from ledger.domain.recovery.plan import (
    DEFAULT_ABORT_ON,
    DEFAULT_RATE,
    MAX_JOBS,
    MAX_RATE,
    MIN_RATE,
    Terms,
)
from ledger.domain.recovery.selection import Selector

PREVIEWED_FIRES = 5
LONGEST_LEASE_SECONDS = 86_400.0
LONGEST_WAIT_SECONDS = 60.0
MAX_IMPORTED = 500
"""Jobs in one import."""
LEASE = "Default: the job's policy."


class Body(BaseModel):
    """A JSON object that refuses unknown keys and converts no types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ReasonBody(Body):
    reason: Reason | None = None


class PauseBody(ReasonBody):
    until: Instant | None = Field(None, description="When the pause ends by itself.")


class ResumeBody(ReasonBody):
    force: bool = Field(False, description="Resume a failed job (only once its cause is fixed).")
    run_at: Instant | None = Field(None, description="The next run; default: the next slot.")
    run_now: bool = Field(False, description="Run at once, then go on with the schedule.")


class PreviewBody(Body):
    schedule: Plain = Field(description="As in a job.")
    after: Instant | None = Field(None, description="Start of the preview; default: now.")
    count: int = Field(PREVIEWED_FIRES, description="How many fires to list.")


class ClaimBody(Body):
    queue: str = Field(min_length=1, max_length=NAME_CHARACTERS)
    lease_seconds: float | None = Field(None, ge=1, le=LONGEST_LEASE_SECONDS, description=LEASE)
    wait_seconds: float = Field(
        0, ge=0, le=LONGEST_WAIT_SECONDS, description="How long to wait for a due run."
    )


class HeartbeatBody(Body):
    lease_seconds: float | None = Field(None, ge=1, le=LONGEST_LEASE_SECONDS, description=LEASE)


class SuccessBody(Body):
    output: str = Field("", description="A text that starts with Error: reports a failure.")


class FailureBody(Body):
    error: str = Field(min_length=1)
    failure_class: FailureClass | None = Field(
        None, description="Default: derived from the error. Never lost or blocked."
    )
    retry_after_seconds: float | None = Field(
        None, ge=0, le=86_400, description="The earliest retry, from now."
    )


class ImportBody(Body):
    origin: str = Field(description="The scheduler that the jobs come from, such as crontab.")
    jobs: list[AnyJob] = Field(
        min_length=1,
        max_length=MAX_IMPORTED,
        description='{"spec" (as for a new job), "origin_id", "status"?, "consecutive_errors"?, '
        '"last_error"?, "last_run_at"?, "run_count"?, "imported"? (what was not understood)}',
    )
    dry_run: bool = Field(False, description="Decide everything and commit nothing.")


class TokenBody(Body):
    name: str = Field(min_length=1, max_length=MAX_NAME)
    role: TokenRole
    kind: Kind | None = Field(None, description="Default: worker for the role worker, else user.")
    expires_at: Instant | None = None


# -- jobs -----------------------------------------------------------------------------------------


class JobPatch(Body):
    """An RFC 7396 merge patch: changes the keys given, and null removes one. Only documents the
    keys; the ledger reads them.
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
        "default: the agent at JOBLEDGER_AGENT_URL",
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
    """A new job. Only documents the keys; the ledger reads them."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    schedule: Plain = Field(description="As in a patch.")
    policy: Plain | None = Field(None, description="Default: the values that Phantom uses.")


# -- recoveries -----------------------------------------------------------------------------------


class TermsBody(ReasonBody):
    """How fast a recovery resumes jobs, and when it aborts."""

    probe: JobIdText | None = Field(
        None, description="The job to resume and run first; the others follow if it succeeds."
    )
    rate_per_minute: float = Field(
        DEFAULT_RATE, ge=MIN_RATE, le=MAX_RATE, description="Jobs to resume per minute."
    )
    abort_on: int | None = Field(
        DEFAULT_ABORT_ON,
        ge=1,
        le=MAX_JOBS,
        description="Abort after this many re-trips; null: never.",
    )
    dry_run: bool = Field(False, description="Answer the plan and commit nothing.")

    def terms(self) -> Terms:
        """As the ledger takes them."""
        rate = float(self.rate_per_minute)  # the default is an int
        return Terms(self.probe, int(rate) if rate.is_integer() else rate, self.abort_on)


class SelectorBody(Body):
    tag: Filter | None = None
    failure_class: FailureClass | None = None
    job_ids: list[JobIdText] | None = Field(None, min_length=1, max_length=MAX_JOBS)

    def selector(self) -> Selector:
        """As the ledger takes it. Refuses InvalidField when nothing is given."""
        ids = None if self.job_ids is None else tuple(self.job_ids)
        return Selector(self.tag, self.failure_class, ids)


class RecoveryBody(TermsBody):
    selector: SelectorBody = Field(
        description="tag, failure_class, job_ids: at least one; selects the failed jobs that "
        "match all of them."
    )

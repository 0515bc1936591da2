"""Every refusal and failure of the ledger: one root, stable codes, facts as attributes, a message
that says what to do next.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

LONGEST_QUOTE = 64


def quoted(text: str) -> str:
    """A caller's input, in quotes and cut to 64 characters, for a refusal."""
    return repr(text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 3]}...")


class LedgerError(Exception):
    """The root. `code` is stable and for programs; the message is for people and says what to do
    next.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


# -- the four families --------------------------------------------------------------------------


class NotFound(LedgerError):
    """The requested thing is not in the ledger."""

    code = "not_found"


class Refused(LedgerError):
    """A decision refused the command; nothing was appended."""


class Invalid(Refused):
    """The input itself cannot be accepted, whatever the state of the job."""


class Conflict(LedgerError):
    """The caller read an older state than the ledger has."""


class Unavailable(LedgerError):
    """The ledger cannot answer now. `retry_after_seconds` says when to try again."""

    code = "unavailable"
    retry_after_seconds: ClassVar[int] = 1


# -- not found ----------------------------------------------------------------------------------


class JobNotFound(NotFound):
    code = "job_not_found"

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f"There is no job {job_id}; list them with GET /v1/jobs.", job_id=str(job_id)
        )


# -- refusals by state ---------------------------------------------------------------------------


class ForceRequired(Refused):
    code = "force_required"

    def __init__(
        self,
        job_id: object,
        *,
        tripped_at: datetime | None,
        last_error: str | None,
        failure_class: str | None = None,
    ) -> None:
        since = f" at {tripped_at:%Y-%m-%dT%H:%M:%SZ}" if tripped_at else ""
        super().__init__(
            f"Job {job_id} failed: its breaker tripped{since}. If the cause is fixed, resume it "
            'with {"force": true} in the body (and a reason).',
            job_id=str(job_id),
            last_error=last_error,
            failure_class=failure_class,
        )


class JobCompleted(Refused):
    code = "job_completed"

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f"Job {job_id} is completed: it cannot be changed, paused or run again, and cannot be "
            "resumed, not even with force. Schedule a new job instead.",
            job_id=str(job_id),
        )


class JobFailed(Refused):
    code = "job_failed"

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f'Job {job_id} is failed: resume it with {{"force": true}} first.',
            job_id=str(job_id),
        )


class JobPaused(Refused):
    code = "job_paused"

    def __init__(self, job_id: object) -> None:
        super().__init__(f"Job {job_id} is paused: resume it first.", job_id=str(job_id))


class JobDisabled(Refused):
    code = "job_disabled"

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f"Job {job_id} is disabled and would never fire: enable it first with PATCH "
            f'{{"enabled": true}}.',
            job_id=str(job_id),
        )


class ScheduleExhausted(Refused):
    code = "schedule_exhausted"

    def __init__(
        self,
        job_id: object,
        *,
        remedy: str = 'Resume it with {"run_at": "<a future instant>"} or {"run_now": true}.',
    ) -> None:
        super().__init__(
            f"The schedule of job {job_id} has no fire left, so it would be "
            "active and never run. " + remedy,
            job_id=str(job_id),
        )


class RunInProgress(Refused):
    code = "run_in_progress"

    def __init__(self, job_id: object, run_id: str | None) -> None:
        what = f"run {run_id}" if run_id else "a requested run"
        super().__init__(
            f"Job {job_id} already has {what} under way: wait for its outcome.",
            job_id=str(job_id),
            run_id=run_id,
        )


class RunSuperseded(Refused):
    code = "run_superseded"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"Run {run_id} is no longer the job's open run, so its report was not "
            "recorded: stop working on it.",
            run_id=run_id,
        )


class NameTaken(Refused):
    code = "name_taken"

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(
            f"The name {name!r} belongs to job {holder} (names ignore case): choose another or "
            "delete that job.",
            name=name,
            holder=holder,
        )


# -- refused input ------------------------------------------------------------------------------


class InvalidField(Invalid):
    """The value of a named field is not allowed."""

    code = "invalid_field"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field)


class UnknownField(Invalid):
    code = "unknown_field"

    def __init__(self, field: str, known: tuple[str, ...] = ()) -> None:
        hint = f"; known keys: {', '.join(known)}" if known else ""
        super().__init__(f"{field}: unknown key{hint}. Keys are case-sensitive.", field=field)


class ScheduleInvalid(Invalid):
    code = "schedule_invalid"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)


class ScheduleNeverFires(Invalid):
    code = "schedule_never_fires"

    def __init__(self, expr: str) -> None:
        super().__init__(
            f"The schedule {expr!r} matches no date, so the job would never run.",
            expr=expr,
        )


class ScheduleInPast(Invalid):
    code = "schedule_in_past"

    def __init__(self, at: datetime) -> None:
        super().__init__(f"{at:%Y-%m-%dT%H:%M:%SZ} is not in the future: give a later instant.")


class IdempotencyMismatch(Invalid):
    code = "idempotency_mismatch"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The Idempotency-Key {key!r} was used with another body: use a new key.", key=key
        )


class TooLarge(Refused):
    code = "too_large"

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than {limit_bytes} bytes.", limit_bytes=limit_bytes)


class JobLimit(Refused):
    code = "job_limit"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The ledger has its maximum of {limit} jobs (JOBLEDGER_MAX_JOBS): delete some first.",
            limit=limit,
        )


class Forbidden(Refused):
    code = "forbidden"


# -- conflict and availability ------------------------------------------------------------------


class StaleRevision(Conflict):
    code = "stale_revision"

    def __init__(self, job_id: object, *, expected: int, actual: int) -> None:
        super().__init__(
            f"Job {job_id} is at revision {actual}, not {expected}: read it again "
            "and repeat the change.",
            job_id=str(job_id),
            expected=expected,
            actual=actual,
        )


class Overloaded(Unavailable):
    code = "overloaded"

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} commands are already waiting: try again shortly.", waiting=waiting
        )


class OutcomeUnknown(Unavailable):
    code = "outcome_unknown"

    def __init__(self, detail: str) -> None:
        super().__init__(
            "The store did not confirm whether the command was committed "
            f"({detail}): check the job, or repeat the command with the same "
            "Idempotency-Key."
        )


class Behind(Unavailable):
    code = "behind"

    def __init__(self, *, wanted: int, reached: int) -> None:
        super().__init__(
            f"The read model has reached position {reached}, not yet {wanted}: try again shortly.",
            wanted=wanted,
            reached=reached,
        )


class StorageFull(LedgerError):
    code = "storage_full"

    def __init__(self) -> None:
        super().__init__(
            "The disk is full: nothing was committed. Free space and repeat the command."
        )


class StartRefused(LedgerError):
    """The ledger cannot be opened, for the reason in the message. The process ends with exit code
    2.
    """

    code = "start_refused"


class CorruptEvent(LedgerError):
    """A stored event cannot be decoded; the message names its position. Never skipped silently."""

    code = "corrupt_event"

    def __init__(self, position: int | None, problem: str) -> None:
        super().__init__(
            f"The event at position {position} cannot be read: {problem}", position=position
        )
        self.position = position

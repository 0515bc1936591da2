"""Every answer "no" the ledger can give: one root, stable codes, facts as attributes, a message
that says what next.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

LONGEST_QUOTE = 64


def quoted(text: str) -> str:
    """What a caller wrote, in quotes and cut to 64 characters, for a refusal."""
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
    """What was asked for is not in the ledger."""

    code = "not_found"


class Refused(LedgerError):
    """A decision said no; nothing was appended."""


class Invalid(Refused):
    """The input itself cannot be accepted, whatever the state of the job."""


class Conflict(LedgerError):
    """The caller looked at an older state than the ledger holds."""


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


# -- refusals by state (DESIGN §5) --------------------------------------------------------------


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
            f"Job {job_id} failed: its breaker tripped{since}. "
            'If the cause is gone, resume it with {"force": true} in the body (and a reason).',
            job_id=str(job_id),
            last_error=last_error,
            failure_class=failure_class,
        )


class JobCompleted(Refused):
    code = "job_completed"

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f"Job {job_id} is completed and never comes back, not even with force; schedule a new "
            "job instead.",
            job_id=str(job_id),
        )


class JobFailed(Refused):
    code = "job_failed"

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f'Job {job_id} is failed: bring it back first with resume and {{"force": true}}.',
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
        way_on: str = 'Resume it with {"run_at": "<a future instant>"} or {"run_now": true}.',
    ) -> None:
        super().__init__(
            f"The schedule of job {job_id} has no fire left, so it would be active and never run. "
            + way_on,
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
            f"Run {run_id} is no longer the job's open run, so its report changes nothing: stop "
            "working on it.",
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
    """A named field holds what it may not hold."""

    code = "invalid_field"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field)


class UnknownField(Invalid):
    code = "unknown_field"

    def __init__(self, field: str, known: tuple[str, ...] = ()) -> None:
        hint = f"; known here: {', '.join(known)}" if known else ""
        super().__init__(f"{field}: unknown key{hint}. Keys are exact, case included.", field=field)


class ScheduleInvalid(Invalid):
    code = "schedule_invalid"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)


class ScheduleNeverFires(Invalid):
    code = "schedule_never_fires"

    def __init__(self, expr: str) -> None:
        super().__init__(
            f"The schedule {expr!r} names no instant that exists, so the job would never run.",
            expr=expr,
        )


class ScheduleInPast(Invalid):
    code = "schedule_in_past"

    def __init__(self, at: datetime) -> None:
        super().__init__(
            f"{at:%Y-%m-%dT%H:%M:%SZ} is not in the future: give an instant that is still to come."
        )


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
            f"The ledger holds its {limit} jobs (JOBLEDGER_MAX_JOBS): delete some first.",
            limit=limit,
        )


class Forbidden(Refused):
    code = "forbidden"


# -- conflict and availability ------------------------------------------------------------------


class StaleRevision(Conflict):
    code = "stale_revision"

    def __init__(self, job_id: object, *, expected: int, actual: int) -> None:
        super().__init__(
            f"Job {job_id} is at revision {actual}, not {expected}: read it again and decide anew.",
            job_id=str(job_id),
            expected=expected,
            actual=actual,
        )


class Overloaded(Unavailable):
    code = "overloaded"

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} commands are already waiting: try again in a moment.", waiting=waiting
        )


class OutcomeUnknown(Unavailable):
    code = "outcome_unknown"

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"The store did not say whether the command was kept ({detail}): look, or repeat it "
            "with the same "
            "Idempotency-Key."
        )


class Behind(Unavailable):
    code = "behind"

    def __init__(self, *, wanted: int, reached: int) -> None:
        super().__init__(
            f"The copy has reached position {reached}, not yet {wanted}: try again in a moment.",
            wanted=wanted,
            reached=reached,
        )


class StorageFull(LedgerError):
    code = "storage_full"

    def __init__(self) -> None:
        super().__init__("The disk is full: nothing was kept. Free space and repeat the command.")


class StartRefused(LedgerError):
    """The ledger cannot be opened; one line says why. The process ends with exit code 2."""

    code = "start_refused"


class CorruptEvent(LedgerError):
    """A stored event cannot be understood; the message names its position. Never skipped in
    silence.
    """

    code = "corrupt_event"

    def __init__(self, position: int | None, problem: str) -> None:
        super().__init__(
            f"The event at position {position} cannot be read: {problem}", position=position
        )
        self.position = position

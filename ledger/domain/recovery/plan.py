"""The plan of a recovery: which jobs it resumes, in which order, how fast, and when it aborts.

Read models may propose jobs; the jobs themselves decide which ones a plan contains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from uuid import UUID

from ledger.domain.job.job import Job
from ledger.domain.recovery.selection import Selection
from ledger.errors import (
    InvalidField,
    JobDisabled,
    NotFound,
    Refused,
    RunInProgress,
    ScheduleExhausted,
)

MAX_JOBS = 10_000
"""The maximum number of jobs in one plan, refused ones included."""
DEFAULT_RATE, MIN_RATE, MAX_RATE = 10, 0.1, 600
"""Jobs a minute: one in six seconds by default; from one in ten minutes to ten a second."""
DEFAULT_ABORT_ON = 3
"""Jobs that trip again and thereby abort a recovery, by default: three make a storm."""

A_FEW = 3
"""The most refusals that one line lists."""


class JobNotFailed(Refused):
    """A recovery resumes failed jobs only."""

    code = "job_not_failed"

    def __init__(self, job_id: object, status: str) -> None:
        super().__init__(
            f"Job {job_id} is {status}, not failed: a recovery resumes failed jobs only.",
            job_id=str(job_id),
            status=status,
        )


class JobInRecovery(Refused):
    """A job is in one open recovery at a time."""

    code = "job_in_recovery"

    def __init__(self, job_id: object, recovery: str) -> None:
        super().__init__(
            f"Job {job_id} is already planned in recovery {recovery}: let that "
            "one finish, or abort it first.",
            job_id=str(job_id),
            recovery_id=recovery,
        )


class NothingToResume(Refused):
    """A recovery needs at least one job."""

    code = "nothing_to_resume"

    def __init__(self, refused: Sequence[Refusal]) -> None:
        super().__init__(
            f"There is nothing to resume: {_why_none(refused)}", refused_count=len(refused)
        )


def _why_none(refused: Sequence[Refusal]) -> str:
    if not refused:
        return "no failed job matches."
    if len(refused) <= A_FEW:
        return " ".join(one.message for one in refused)
    codes = ", ".join(sorted({one.code for one in refused}))
    return f"all {len(refused)} are refused ({codes}). A dry run gives the reason for each job."


@dataclass(frozen=True, slots=True)
class Terms:
    """How a recovery proceeds: `probe` first and alone, then so many jobs a minute, until
    `abort_on` of them have tripped again (None: no limit). Refuses InvalidField.
    """

    probe: UUID | None = None
    rate_per_minute: float = DEFAULT_RATE
    abort_on: int | None = DEFAULT_ABORT_ON

    def __post_init__(self) -> None:
        if self.probe is not None and not isinstance(self.probe, UUID):
            raise InvalidField("probe", "must be the id of a job (UUID)")
        if not _is_rate(self.rate_per_minute):
            raise InvalidField("rate_per_minute", f"must be a number from {MIN_RATE} to {MAX_RATE}")
        if self.abort_on is None:
            return
        if type(self.abort_on) is not int or not 1 <= self.abort_on <= MAX_JOBS:
            raise InvalidField(
                "abort_on", f"must be a whole number from 1 to {MAX_JOBS}, or null for never"
            )

    @property
    def interval(self) -> timedelta:
        """The time from one job's resume to the next."""
        return timedelta(seconds=60 / self.rate_per_minute)


def _is_rate(given: object) -> bool:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    return isfinite(given) and MIN_RATE <= given <= MAX_RATE


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that a recovery does not resume, and why."""

    job_id: UUID
    code: str
    message: str

    def plain(self) -> dict[str, str]:
        return {"job_id": str(self.job_id), "code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of planning: which jobs are resumed, in this order, the probe first, and which
    are refused.
    """

    selection: Selection
    terms: Terms
    jobs: tuple[Job, ...]
    refused: tuple[Refusal, ...]


def make_plan(
    selection: Selection,
    terms: Terms,
    candidates: Sequence[Job],
    *,
    planned_in: Mapping[str, str],
    now: datetime,
    probe: Job | None = None,
) -> Plan:
    """Decide on the proposed jobs; `planned_in` has the other open recovery of a job, if any, and
    `probe` is the job that goes first, whether it was proposed or not.

    Refuses InvalidField (selector) for too many, and (probe) for one that cannot be resumed.
    """
    if len(candidates) > MAX_JOBS:
        raise InvalidField(
            "selector",
            f"matches {len(candidates)} jobs, and a recovery takes at most "
            f"{MAX_JOBS}: narrow it with a tag, a failure_class or job_ids",
        )
    jobs: list[Job] = []
    refused: list[Refusal] = []
    for job in candidates:
        try:
            _require_free(job, selection, planned_in, now)
        except (Refused, NotFound) as refusal:
            refused.append(Refusal(job.id, refusal.code, refusal.message))
        else:
            jobs.append(job)
    if terms.probe is not None:
        jobs = _with_probe_first(jobs, terms.probe)
        if not jobs or jobs[0].id != terms.probe:
            why = next((one.message for one in refused if one.job_id == terms.probe), None)
            raise InvalidField("probe", why or _why_not_proposed(probe, selection, now))
    return Plan(selection, terms, tuple(jobs), tuple(refused))


def require_recoverable(job: Job, now: datetime) -> None:
    """Refuse, with the code that forcing it by hand would give, a job that cannot be resumed
    without further input: JobNotFound, JobCompleted, JobNotFailed, JobDisabled, ScheduleExhausted.
    """
    job.require_amendable()
    if job.status != "failed":
        raise JobNotFailed(job.id, job.status)
    if not job.enabled:
        raise JobDisabled(job.id)
    if job.next_slot(now) is None:
        raise ScheduleExhausted(job.id)


def _require_free(
    job: Job, selection: Selection, planned_in: Mapping[str, str], now: datetime
) -> None:
    require_recoverable(job, now)
    selection.require_match(job)
    recovery = planned_in.get(str(job.id))
    if recovery is not None:
        raise JobInRecovery(job.id, recovery)


def _with_probe_first(jobs: Sequence[Job], probe: UUID) -> list[Job]:
    """Refuses RunInProgress when it has a run under way: it cannot start another."""
    first = [job for job in jobs if job.id == probe]
    if first and first[0].open_run is not None:
        raise RunInProgress(probe, first[0].open_run.run_id)
    return first + [job for job in jobs if job.id != probe]


def _why_not_proposed(probe: Job | None, selection: Selection, now: datetime) -> str:
    if probe is not None:
        try:
            require_recoverable(probe, now)
            selection.require_match(probe)
        except (Refused, NotFound) as refusal:
            return refusal.message
    return "is not one of the jobs to resume"

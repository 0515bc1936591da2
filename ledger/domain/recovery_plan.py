"""What a recovery is to do: whom it brings back, in which order, how fast, and when it gives up.

Copies may propose jobs; who comes into a plan is judged by the jobs themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Protocol
from uuid import UUID

from ledger.clock import rfc3339
from ledger.domain.job import Job
from ledger.errors import (
    InvalidField,
    JobDisabled,
    NotFound,
    Refused,
    RunInProgress,
    ScheduleExhausted,
)

MAX_JOBS = 10_000
"""Jobs that one plan names, those it refuses included."""
DEFAULT_RATE, MIN_RATE, MAX_RATE = 10, 0.1, 600
"""Jobs a minute: one in six seconds unless told otherwise; from one in ten minutes to ten a
second.
"""
DEFAULT_ABORT_ON = 3
"""Jobs that trip again and end a recovery, unless told otherwise: three make a storm."""


class JobNotFailed(Refused):
    """A recovery brings back failed jobs only."""

    code = "job_not_failed"

    def __init__(self, job_id: object, status: str) -> None:
        super().__init__(
            f"Job {job_id} is {status}, not failed: there is nothing to recover it from.",
            job_id=str(job_id),
            status=status,
        )


class JobNotSelected(Refused):
    """A job that was named does not fit what else was asked for."""

    code = "job_not_selected"

    def __init__(self, job_id: object, why: str) -> None:
        super().__init__(f"Job {job_id} {why}.", job_id=str(job_id))


class JobInRecovery(Refused):
    """A job waits for its turn in one recovery at a time."""

    code = "job_in_recovery"

    def __init__(self, job_id: object, recovery: str) -> None:
        super().__init__(
            f"Job {job_id} waits for its turn in recovery {recovery}: let that go on, or abort it "
            "first.",
            job_id=str(job_id),
            recovery_id=recovery,
        )


class NobodyToRevive(Refused):
    """A recovery of nobody is none."""

    code = "nobody_to_revive"

    def __init__(self, refused: Sequence[Refusal]) -> None:
        codes = ", ".join(sorted({one.code for one in refused}))
        why = f"all {len(refused)} are refused ({codes})" if refused else "no failed job fits"
        super().__init__(
            f"There is nobody to bring back: {why}. A dry run says why, job by job.",
            refused_count=len(refused),
        )


class Selection(Protocol):
    """Whom a recovery is about."""

    @property
    def storm_id(self) -> str | None:
        """The storm that they are of, if it is one."""
        ...

    def plain(self) -> dict[str, Any] | None:
        """As the event keeps it."""
        ...

    def propose(self, jobs: Iterable[Job]) -> list[UUID]:
        """Out of all live jobs those to be judged, in the order in which they are to come back."""
        ...

    def require_fit(self, job: Job) -> None:
        """Refuse JobNotSelected when a failed job is not meant."""
        ...


@dataclass(frozen=True, slots=True)
class Selector:
    """The failed jobs with a tag, of a failure class, out of a list: all that is given must fit.

    Refuses InvalidField when nothing is given. Jobs of a list come back in its order, others as
    they tripped, the first one first.
    """

    tag: str | None = None
    failure_class: str | None = None
    job_ids: tuple[UUID, ...] | None = None

    storm_id: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.tag is None and self.failure_class is None and not self.job_ids:
            raise InvalidField("selector", "needs a tag, a failure_class or job_ids, at least one")

    def plain(self) -> dict[str, Any]:
        ids = None if self.job_ids is None else [str(job_id) for job_id in self.job_ids]
        return {"tag": self.tag, "failure_class": self.failure_class, "job_ids": ids}

    def propose(self, jobs: Iterable[Job]) -> list[UUID]:
        if self.job_ids is not None:
            return list(dict.fromkeys(self.job_ids))
        return [job.id for job in in_order_of_trips(jobs) if self._misfit(job) is None]

    def require_fit(self, job: Job) -> None:
        why = self._misfit(job)
        if why is not None:
            raise JobNotSelected(job.id, why)

    def _misfit(self, job: Job) -> str | None:
        if self.tag is not None and self.tag not in job.tags:
            return f"has no tag {self.tag!r}"
        if self.failure_class is not None and job.trip_class != self.failure_class:
            return f"failed of {job.trip_class or 'what is unknown'}, not of {self.failure_class}"
        return None


@dataclass(frozen=True, slots=True)
class StormMembers:
    """The jobs that tripped while they were in a storm. `trips` holds of each the versions of its
    stream at which it tripped of that storm: whoever is failed since another trip is failed of
    something else.
    """

    storm_id: str
    trips: Mapping[UUID, Collection[int]]

    def plain(self) -> None:
        return None

    def propose(self, jobs: Iterable[Job]) -> list[UUID]:
        return [job.id for job in in_order_of_trips(jobs) if job.id in self.trips]

    def require_fit(self, job: Job) -> None:
        trips = self.trips.get(job.id)
        if trips is None:
            raise JobNotSelected(job.id, f"did not trip in {self.storm_id}")
        if job.trip_version not in trips:
            raise JobNotSelected(
                job.id, f"{self._since(job, trips)}: select it by its id if you mean it"
            )

    def _since(self, job: Job, trips: Collection[int]) -> str:
        if job.trip_version > max(trips, default=job.trip_version):
            when = f" at {rfc3339(job.tripped_at)}" if job.tripped_at else ""
            return f"came back from {self.storm_id} and tripped again{when}"
        of = f" ({job.trip_class})" if job.trip_class else ""
        return f"failed in {self.storm_id} and tripped of something else{of}"


def in_order_of_trips(jobs: Iterable[Job]) -> list[Job]:
    """The failed ones, the longest failed first."""
    failed = [job for job in jobs if job.status == "failed"]
    return sorted(failed, key=lambda job: (job.trip_position or 0, job.id))


@dataclass(frozen=True, slots=True)
class Terms:
    """How a recovery goes: `probe` first and alone, then so many jobs a minute, until `abort_on` of
    them have tripped again (None: however many). Refuses InvalidField.
    """

    probe: UUID | None = None
    rate_per_minute: float = DEFAULT_RATE
    abort_on: int | None = DEFAULT_ABORT_ON

    def __post_init__(self) -> None:
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
        """From one job's turn to the next."""
        return timedelta(seconds=60 / self.rate_per_minute)


def _is_rate(given: object) -> bool:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    return isfinite(given) and MIN_RATE <= given <= MAX_RATE


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that a recovery leaves as it is, and why."""

    job_id: UUID
    code: str
    message: str

    def plain(self) -> dict[str, str]:
        return {"job_id": str(self.job_id), "code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class Plan:
    """What was judged: who comes back, in this order, the probe first, and who does not."""

    selection: Selection
    terms: Terms
    jobs: tuple[Job, ...]
    refused: tuple[Refusal, ...]


def make_plan(
    selection: Selection,
    terms: Terms,
    candidates: Sequence[Job],
    *,
    taken: Mapping[str, str],
    now: datetime,
) -> Plan:
    """Judge who was proposed; `taken` says which job waits in which other recovery.

    Refuses InvalidField (selector) for too many, and (probe) for one that cannot come back.
    """
    if len(candidates) > MAX_JOBS:
        raise InvalidField(
            "selector",
            f"means {len(candidates)} jobs, and a recovery takes at most {MAX_JOBS}: narrow it "
            "with a tag, a failure_class or job_ids",
        )
    jobs: list[Job] = []
    refused: list[Refusal] = []
    for job in candidates:
        try:
            _require_free(job, selection, taken, now)
        except (Refused, NotFound) as refusal:
            refused.append(Refusal(job.id, refusal.code, refusal.message))
        else:
            jobs.append(job)
    ordered = _with_probe_first(jobs, refused, terms.probe)
    return Plan(selection, terms, tuple(ordered), tuple(refused))


def require_recoverable(job: Job, now: datetime) -> None:
    """Refuse, with the code that forcing it by hand would meet, a job that cannot come back by
    itself: JobNotFound, JobCompleted, JobNotFailed, JobDisabled, ScheduleExhausted.
    """
    job.require_amendable()
    if job.status != "failed":
        raise JobNotFailed(job.id, job.status)
    if not job.enabled:
        raise JobDisabled(job.id)
    if job.next_slot(now) is None:
        raise ScheduleExhausted(job.id)


def _require_free(job: Job, selection: Selection, taken: Mapping[str, str], now: datetime) -> None:
    require_recoverable(job, now)
    selection.require_fit(job)
    recovery = taken.get(str(job.id))
    if recovery is not None:
        raise JobInRecovery(job.id, recovery)


def _with_probe_first(
    jobs: Sequence[Job], refused: Sequence[Refusal], probe: UUID | None
) -> list[Job]:
    if probe is None:
        return list(jobs)
    first = [job for job in jobs if job.id == probe]
    if not first:
        why = next((one.message for one in refused if one.job_id == probe), None)
        raise InvalidField("probe", why or "is none of the jobs that are to come back")
    if first[0].open_run is not None:
        raise RunInProgress(probe, first[0].open_run.run_id)
    return first + [job for job in jobs if job.id != probe]

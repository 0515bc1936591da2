"""Which jobs a recovery is about: selected by their attributes or failures, or the members of a
storm.

A selection proposes; the plan decides which jobs are resumed (`recovery.plan`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from ledger.clock import rfc3339
from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.domain.job.job import Job
from ledger.errors import InvalidField, Refused


class JobNotSelected(Refused):
    """A named job does not match the other criteria."""

    code = "job_not_selected"

    def __init__(self, job_id: object, why: str) -> None:
        super().__init__(f"Job {job_id} {why}.", job_id=str(job_id))


class Selection(Protocol):
    """Which jobs a recovery is about."""

    @property
    def storm_id(self) -> str | None:
        """The storm whose members they are, if it is one."""

    def plain(self) -> dict[str, Any] | None:
        """As the event stores it."""

    def propose(self, jobs: Iterable[Job]) -> list[UUID]:
        """Out of all live jobs those to decide on, in the order in which they are to be resumed."""

    def require_match(self, job: Job) -> None:
        """Refuse JobNotSelected when a failed job does not match."""


@dataclass(frozen=True, slots=True)
class Selector:
    """The failed jobs with a tag, of a failure class, out of a list: all given criteria must match.

    Refuses InvalidField for values that cannot match anything, and when none is given. Jobs of a
    list are resumed in its order, others as they tripped, the first one first.
    """

    tag: str | None = None
    failure_class: str | None = None
    job_ids: tuple[UUID, ...] | None = None

    storm_id: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.tag is None and self.failure_class is None and self.job_ids is None:
            raise InvalidField("selector", "needs at least one of tag, failure_class and job_ids")
        if self.tag is not None and not _is_tag(self.tag):
            raise InvalidField("selector.tag", "must be a tag, and not empty")
        if self.failure_class is not None and self.failure_class not in FAILURE_CLASSES:
            raise InvalidField(
                "selector.failure_class", f"must be one of {', '.join(FAILURE_CLASSES)}"
            )
        if self.job_ids is not None and not _are_ids(self.job_ids):
            raise InvalidField("selector.job_ids", "must be ids of jobs (UUID), at least one")

    def plain(self) -> dict[str, Any]:
        ids = None if self.job_ids is None else [str(job_id) for job_id in self.job_ids]
        return {"tag": self.tag, "failure_class": self.failure_class, "job_ids": ids}

    def propose(self, jobs: Iterable[Job]) -> list[UUID]:
        if self.job_ids is not None:
            return list(dict.fromkeys(self.job_ids))
        return [job.id for job in in_order_of_trips(jobs) if self._misfit(job) is None]

    def require_match(self, job: Job) -> None:
        why = self._misfit(job)
        if why is not None:
            raise JobNotSelected(job.id, why)

    def _misfit(self, job: Job) -> str | None:
        if self.tag is not None and self.tag not in job.tags:
            return f"does not have the tag {self.tag!r}"
        if self.failure_class is not None and job.trip_class != self.failure_class:
            return f"failed of {job.trip_class or 'an unknown class'}, not of {self.failure_class}"
        return None


def _is_tag(given: object) -> bool:
    return isinstance(given, str) and bool(given)


def _are_ids(given: object) -> bool:
    if not isinstance(given, tuple | list):
        return False
    return bool(given) and all(isinstance(one, UUID) for one in given)


@dataclass(frozen=True, slots=True)
class StormMembers:
    """The jobs that tripped as members of a storm. `trips` has for each the versions of its stream
    at which it tripped in that storm: a job that failed by another trip has another cause.
    """

    storm_id: str
    trips: Mapping[UUID, Collection[int]]

    def plain(self) -> None:
        return None

    def propose(self, jobs: Iterable[Job]) -> list[UUID]:
        return [job.id for job in in_order_of_trips(jobs) if job.id in self.trips]

    def require_match(self, job: Job) -> None:
        trips = self.trips.get(job.id)
        if trips is None:
            raise JobNotSelected(job.id, f"did not trip in {self.storm_id}")
        if job.trip_version not in trips:
            raise JobNotSelected(
                job.id, f"{self._since(job, trips)}: select it by its id to resume it"
            )

    def _since(self, job: Job, trips: Collection[int]) -> str:
        if job.trip_version > max(trips, default=job.trip_version):
            when = f" at {rfc3339(job.tripped_at)}" if job.tripped_at else ""
            return f"was resumed after {self.storm_id} and tripped again{when}"
        of = f" ({job.trip_class})" if job.trip_class else ""
        return f"failed in {self.storm_id} and tripped of something else{of}"


def in_order_of_trips(jobs: Iterable[Job]) -> list[Job]:
    """The failed ones, the longest failed first."""
    failed = [job for job in jobs if job.status == "failed"]
    return sorted(failed, key=lambda job: (job.trip_position or 0, job.id))

"""How a recovery went, read from the book: its own events, and what became of whom it revived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ledger.clock import rfc3339
from ledger.domain.recovery import (
    RESUMED,
    Recovery,
    RecoveryNotFound,
    recovery_name,
    recovery_stream,
)
from ledger.store.book import Book
from ledger.store.mapper import EventMapper
from ledger.store.query import MAX_PAGE, AuditQuery
from ledger.store.reading import from_microseconds
from ledger.store.records import Fact

TRIPPED = "job.circuit_tripped"
SUCCEEDED = "job.run_succeeded"
DECISIVE = frozenset(
    {
        SUCCEEDED, TRIPPED, "job.run_failed", "job.run_lost", "job.run_blocked", "job.paused",
        "job.completed", "job.deleted",
    }
)  # fmt: skip
"""What says of a revived job how its first run went, or that there will be none."""
ENDS = ("recovery.aborted", "recovery.completed")
A_FEW = 50


@dataclass(slots=True)
class Story:
    """What is known of a recovery at one place of the book."""

    recovery: Recovery
    planned: Fact
    steps: list[Fact] = field(default_factory=list)
    end: Fact | None = None

    @property
    def revived(self) -> dict[UUID, Fact]:
        """The steps that revived somebody."""
        resumed = (step for step in self.steps if step.data["outcome"] == RESUMED)
        return {UUID(step.data["job_id"]): step for step in resumed}


class RecoveryReader:
    """Reads recoveries from a book; `until` is the last position that counts."""

    def __init__(self, book: Book, mapper: EventMapper) -> None:
        self._book = book
        self._mapper = mapper

    def story(self, number: int, until: int) -> Story:
        """A recovery as it stood; RecoveryNotFound when it was not planned yet."""
        recovery = Recovery.blank(recovery_stream(number))
        story: Story | None = None
        for fact in self.take_in(recovery, until):
            if story is None:
                story = Story(recovery, fact)
            elif fact.topic in ENDS:
                story.end = fact
            else:
                story.steps.append(fact)
        if story is None:
            raise RecoveryNotFound(recovery_name(number))
        return story

    def take_in(self, recovery: Recovery, until: int | None) -> Iterator[Fact]:
        while page := self._book.stream(
            recovery.id, after=recovery.version, upto=None, limit=MAX_PAGE
        ):
            fitting = [item for item in page if until is None or item.id <= until]
            facts = self._mapper.to_facts(fitting)
            for fact, event in zip(facts, self._mapper.to_domain_events(fitting), strict=True):
                event.mutate(recovery)
                yield fact
            if len(fitting) < len(page):
                return

    def trips(self, revived: Mapping[UUID, Fact], after: int, until: int) -> dict[UUID, Fact]:
        """Of those who were revived, the first trip of each after its own revival."""
        found: dict[UUID, Fact] = {}
        while revived and after < until:
            query = AuditQuery(
                topics=(TRIPPED,), after_position=after, until_position=until, limit=MAX_PAGE
            )
            page = self._book.find(query)
            ours = [item for item in page if item.originator_id in revived]
            for fact in self._mapper.to_facts(ours):
                if fact.position > revived[fact.stream].position:
                    found.setdefault(fact.stream, fact)
            after = page[-1].id if len(page) == MAX_PAGE else until
        return found

    def first_outcome(self, step: Fact, until: int) -> str | None:
        """The topic of what says how a revived job's first run went; None while nothing does."""
        job_id, version = UUID(step.data["job_id"]), step.data["job_version"]
        while page := self._book.stream(job_id, after=version, upto=None, limit=A_FEW):
            for item in page:
                if item.topic in DECISIVE and item.id <= until:
                    return item.topic
            version = page[-1].originator_version
        return None

    def numbers(self, before: int | None, limit: int, until: int) -> list[tuple[int, int]]:
        """Recoveries with the positions of their plans, the newest first, planned before a position
        (None: up to `until`).
        """
        query = AuditQuery(
            topics=("recovery.planned",),
            order="desc",
            cursor=before,
            until_position=until,
            limit=limit,
        )
        facts = self._mapper.to_facts(self._book.find(query))
        return [(int(fact.data["recovery_id"].removeprefix("R-")), fact.position) for fact in facts]


# -- as every surface shows it ------------------------------------------------------------------


def summary(story: Story, *, has_probe_held: bool, re_trip_count: int) -> dict[str, Any]:
    """A recovery without its jobs."""
    recovery, planned, end = story.recovery, story.planned.data, story.end
    status = _status(story, has_probe_held)
    return {
        "id": recovery.name,
        "status": status,
        "cause": end.data.get("cause") if end else None,
        "storm_id": planned["storm_id"],
        "selector": planned["selector"],
        "planned_at": planned["timestamp"],
        "planned_by": planned["actor"],
        "reason": planned["reason"],
        "probe": planned["probe"],
        "rate_per_minute": planned["rate_per_minute"],
        "abort_on": planned["abort_on"],
        "job_count": len(recovery.jobs),
        "resumed_count": recovery.resumed_count,
        "refused_count": recovery.refused_count,
        "left_count": len(recovery.left),
        "re_trip_count": end.data["re_trips"] if end else re_trip_count,
        "next_step_at": _next_step_at(story) if status == "dripping" else None,
        "ended_at": end.data["timestamp"] if end else None,
        "position": (end or (story.steps or [story.planned])[-1]).position,
    }


def jobs_told(story: Story, trips: Mapping[UUID, Fact]) -> list[dict[str, Any]]:
    """Every job of the plan, in its order: what became of it so far."""
    waiting = "left" if story.end is not None else "waiting"
    told = [_step_told(step, trips) for step in story.steps]
    for place in range(len(told), len(story.recovery.jobs)):
        told.append(_not_yet(story.recovery.jobs[place], place, waiting))
    return told


def _step_told(step: Fact, trips: Mapping[UUID, Fact]) -> dict[str, Any]:
    data, trip = step.data, trips.get(UUID(step.data["job_id"]))
    return {
        "job_id": data["job_id"],
        "place": data["place"],
        "outcome": data["outcome"],
        "code": data["code"],
        "message": data["message"],
        "stepped_at": data["timestamp"],
        "next_run_at": data["next_run_at"],
        "tripped_again_at": rfc3339(from_microseconds(trip.recorded_at)) if trip else None,
    }


def _not_yet(job_id: str, place: int, outcome: str) -> dict[str, Any]:
    nothing = ("code", "message", "stepped_at", "next_run_at", "tripped_again_at")
    return {"job_id": job_id, "place": place, "outcome": outcome, **dict.fromkeys(nothing)}


def _status(story: Story, has_probe_held: bool) -> str:
    if story.end is not None:
        return story.end.topic.removeprefix("recovery.")
    if story.recovery.is_probing and not has_probe_held:
        return "probing"
    return "dripping" if story.recovery.left else "settling"


def _next_step_at(story: Story) -> str:
    if not story.steps:
        return str(story.planned.data["timestamp"])
    return rfc3339(story.recovery.last_step_at + story.recovery.interval)

"""The question why: one job, one instant, one answer for people and programs (DESIGN §12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.clock import parse_rfc3339
from ledger.dispatch.queues.capacity import QueuePosition
from ledger.domain.job.job import Job
from ledger.domain.job.view import instant, last_run_view
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.filters.as_of import AsOfResolver
from projections.history.history import History
from projections.history.job_events import JobEvents
from projections.why import (
    active_rules as going,
)
from projections.why import (
    due_rules as due,
)
from projections.why import (
    hindsight,
)
from projections.why import (
    inactive_rules as standing_still,
)
from projections.why.chain import chain
from projections.why.context import Remedy, Verdict, WhyContext, format_instant
from projections.why.dispatcher_activity import DispatcherActivity, when

RULES: tuple[Callable[[WhyContext], Verdict | None], ...] = (
    standing_still.deleted,
    going.under_way,
    standing_still.completed,
    standing_still.tripped,
    standing_still.disabled,
    standing_still.paused,
    standing_still.exhausted,
    going.jitter,
    due.due_verdict,
    going.skipped,
    going.not_executed,
    going.backoff,
    going.waiting,
)
"""In the order in which causes come before each other; the first that applies answers."""
CODES = (
    "not_yet", "deleted", "running", "overlap", "node_down", "completed", "tripped", "disabled",
    "paused", "exhausted", "jitter", "due", "no_worker", "catch_up_spread", "at_limit",
    "clock_change", "blocked", "lost", "backoff", "waiting",
)  # fmt: skip
"""What `answer` may say."""

StormOf = Callable[[int, int], str | None]
"""The storm that the failure at a position was of, as a later position knows it."""


def no_storm(_failure: int, _position: int) -> str | None:
    """For whoever has no copies: nothing is known of storms."""
    return None


class Why:
    """Answers from the book of one ledger; of the copies only the name of a storm is asked."""

    def __init__(
        self,
        events: EventReader,
        history: History,
        instants: AsOfResolver,
        *,
        storm_of: StormOf = no_storm,
        is_leased: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`is_leased` says of a run whether its work is done elsewhere now, so that it needs no
        node to live.
        """
        self._events = events
        self._history = history
        self._instants = instants
        self._storm_of = storm_of
        self._is_leased = is_leased

    def answer(
        self,
        job_id: UUID,
        *,
        position: int,
        at: datetime | None = None,
        here: QueuePosition | None = None,
        is_unattended: bool = False,
    ) -> dict[str, Any]:
        """Why the job ran, or did not, when the book had come to `position`: at the instant `at`,
        or now if that is left out. Of now, `here` is what this process's dispatcher knows of the
        job, and `is_unattended` says that nobody dispatches: the ledger is this process's alone.

        Refuses JobNotFound for what never was a job.
        """
        self._history.require_known(job_id)
        born = self._birth(job_id)
        moment = at if at is not None else self._instants.now().at
        if born.position > position:
            return _not_yet(born, moment, position)
        case = self._case(job_id, moment, position)
        if at is None:
            case = replace(case, is_now=True, here=here, is_unattended=is_unattended)
        verdict = _verdict(case)
        if at is not None:
            ways = hindsight.ways_seen_from_later(case, verdict, self._ways_now(job_id))
            verdict = replace(verdict, ways=ways)
        return _document(case.job, case.at, position, verdict, _missed(case))

    def instant_of(self, position: int) -> datetime:
        """When the event at a position was recorded; for 0 when the first one was."""
        if position == 0:
            return self._events.first_recorded_at() or self._instants.now().at
        return self._events.recorded_at(position)

    def _ways_now(self, job_id: UUID) -> Sequence[Remedy]:
        """What would make the job run now."""
        now = self._instants.now()
        case = self._case(job_id, now.at, now.position)
        return _verdict(replace(case, is_now=True)).ways

    def _birth(self, job_id: UUID) -> RecordedEvent:
        return self._events.stream(job_id, after=0, upto=1, limit=1)[0]

    def _case(self, job_id: UUID, at: datetime, position: int) -> WhyContext:
        version = self._history.version_at(job_id, position)
        return WhyContext(
            job=self._history.state(job_id, version),
            at=at,
            position=position,
            is_now=False,
            trail=JobEvents(self._events, job_id, version),
            dispatching=DispatcherActivity(self._events, position, self._is_leased),
            here=None,
            is_unattended=False,
            storm_of=lambda failure: self._storm_of(failure, position),
        )


def _verdict(case: WhyContext) -> Verdict:
    return next(filter(None, (rule(case) for rule in RULES)))


def _not_yet(born: RecordedEvent, at: datetime, position: int) -> dict[str, Any]:
    scheduled = f"it was scheduled at {format_instant(when(born))}, event {born.position}"
    text = f"It did not exist yet: {scheduled}."
    verdict = Verdict("not_yet", text, [born])
    return _document(Job.blank(born.stream), at, position, verdict, None) | {
        "job_name": born.data["name"]
    }


def _missed(case: WhyContext) -> RecordedEvent | None:
    """The event that recorded the slots around the instant as missed, if it came later. Where slots
    of several causes were recorded one after the other, the last of them that reaches back so far.
    """
    if case.is_now:
        return None
    found = None
    for fact in case.trail.on():
        if found is not None and not _reaches(fact, case.at):
            break
        found = fact if _reaches(fact, case.at) else None
    return found


def _reaches(fact: RecordedEvent, at: datetime) -> bool:
    missed = fact.data.get("missed")
    return missed is not None and parse_rfc3339(missed["first"]) <= at


def _document(
    job: Job, at: datetime, position: int, verdict: Verdict, missed: RecordedEvent | None
) -> dict[str, Any]:
    return {
        "job_id": str(job.id),
        "job_name": job.name,
        "at": instant(at),
        "position": position,
        "answer": verdict.code,
        "text": verdict.text,
        "chain": chain(job.id, [*verdict.links, missed]),
        "would_run": [way.plain() for way in verdict.ways],
        "next_run_at": instant(job.next_run_at),
        "last_run": last_run_view(job.last_run),
    }

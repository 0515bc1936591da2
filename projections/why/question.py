"""Why: one job, one instant, one answer for people and programs (docs/reference/http.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.clock import parse_rfc3339
from ledger.dispatch.queues.ready_queue import QueuePosition
from ledger.domain.job.job import Job
from ledger.domain.job.view import instant, last_run_view
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.filters.as_of import AsOfResolver
from projections.history.history import History
from projections.history.job_events import JobEvents
from projections.why import active_rules, due_rules, inactive_rules
from projections.why.chain import chain
from projections.why.context import Remedy, Verdict, WhyContext, format_instant
from projections.why.dispatcher_activity import DispatcherActivity, when
from projections.why.hindsight import remedies_in_hindsight

RULES: tuple[Callable[[WhyContext], Verdict | None], ...] = (
    inactive_rules.deleted,
    active_rules.running,
    inactive_rules.completed,
    inactive_rules.tripped,
    inactive_rules.disabled,
    inactive_rules.paused,
    inactive_rules.exhausted,
    active_rules.jitter,
    due_rules.due,
    active_rules.clock_change,
    active_rules.not_executed,
    active_rules.backoff,
    active_rules.waiting,
)
"""In order of precedence; the first that applies answers, and the last one always does."""
CODES = (
    "not_yet", "deleted", "running", "overlap", "node_down", "completed", "tripped", "disabled",
    "paused", "exhausted", "jitter", "due", "no_worker", "catch_up_spread", "at_limit",
    "clock_change", "blocked", "lost", "backoff", "waiting",
)  # fmt: skip
"""The codes that `answer` may have."""

StormOf = Callable[[int, int], str | None]
"""The storm that the failure at a position belonged to, as known at a later position."""


class Why:
    """Answers from the events of one ledger; only the id of a storm comes from the read models."""

    def __init__(
        self,
        events: EventReader,
        history: History,
        instants: AsOfResolver,
        *,
        storm_of: StormOf,
        is_leased: Callable[[str], bool],
    ) -> None:
        """`is_leased` says whether the work of a run is done outside of the ledger's nodes now, so
        that the run needs no node to go on.
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
        queue_position: QueuePosition | None = None,
        is_unattended: bool = False,
    ) -> dict[str, Any]:
        """Why the job ran, or did not, at a position: at the instant `at`, or now without one. Only
        for now, `queue_position` is where the job is in this process's dispatcher, and
        `is_unattended` says that nothing dispatches: only this process has the ledger open.

        Raises JobNotFound when there never was such a job.
        """
        self._history.require_known(job_id)
        scheduled = self._events.stream(job_id, after=0, upto=1, limit=1)[0]
        instant_at = at if at is not None else self._instants.now().at
        if scheduled.position > position:
            return _not_yet(scheduled, instant_at, position)
        context = self._context(job_id, instant_at, position)
        if at is None:
            context = replace(
                context, is_now=True, queue_position=queue_position, is_unattended=is_unattended
            )
        verdict = _verdict(context)
        if at is not None:
            remedies = remedies_in_hindsight(context, verdict, self._present_remedies(job_id))
            verdict = replace(verdict, remedies=remedies)
        return _document(context.job, context.at, position, verdict, _missed(context))

    def instant_of(self, position: int) -> datetime:
        """When the event at a position was recorded; for 0 when the first one was."""
        if position == 0:
            return self._events.first_recorded_at() or self._instants.now().at
        return self._events.recorded_at(position)

    def _present_remedies(self, job_id: UUID) -> Sequence[Remedy]:
        """What would make the job run now."""
        now = self._instants.now()
        context = self._context(job_id, now.at, now.position)
        return _verdict(replace(context, is_now=True)).remedies

    def _context(self, job_id: UUID, at: datetime, position: int) -> WhyContext:
        version = self._history.version_at(job_id, position)
        return WhyContext(
            job=self._history.state(job_id, version),
            at=at,
            position=position,
            is_now=False,
            events=JobEvents(self._events, job_id, version),
            dispatchers=DispatcherActivity(self._events, position, self._is_leased),
            queue_position=None,
            is_unattended=False,
            storm_of=lambda failure: self._storm_of(failure, position),
        )


def _verdict(context: WhyContext) -> Verdict:
    return next(filter(None, (rule(context) for rule in RULES)))


def _not_yet(scheduled: RecordedEvent, at: datetime, position: int) -> dict[str, Any]:
    text = (
        f"It did not exist yet: it was scheduled at {format_instant(when(scheduled))}, "
        f"event {scheduled.position}."
    )
    verdict = Verdict("not_yet", text, [scheduled])
    return _document(Job.blank(scheduled.stream), at, position, verdict, None) | {
        "job_name": scheduled.data["name"]
    }


def _missed(context: WhyContext) -> RecordedEvent | None:
    """The later event that recorded the slots around the instant as missed. Where slots of several
    causes were recorded one after the other, the last event that reaches back to the instant.
    """
    if context.is_now:
        return None
    found = None
    for event in context.events.after():
        if found is not None and not _reaches(event, context.at):
            break
        found = event if _reaches(event, context.at) else None
    return found


def _reaches(event: RecordedEvent, at: datetime) -> bool:
    missed = event.data.get("missed")
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
        "chain": chain(job.id, [*verdict.events, missed]),
        "would_run": [remedy.plain() for remedy in verdict.remedies],
        "next_run_at": instant(job.next_run_at),
        "last_run": last_run_view(job.last_run),
    }

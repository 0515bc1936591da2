"""A job's state replayed from few of its events, however many there are.

A scheduled run that succeeded resets all that runs leave in the state: no run is open, no streak is
counted, no request waits, the breaker is closed. So the state after it follows from the rare events
before it (the decisions of operators and of the breaker) and from all events since. Only what
counts or names older runs is missing: `run_count` and `last_delivery`.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ledger.domain.events import ABOUT_A_RUN, JOB_EVENTS, RunStarted, RunSucceeded
from ledger.domain.job.job import Job
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import StoredEvent

UNKNOWN_FIELDS = ("run_count", "last_delivery")
"""Fields that a partial state lacks."""
RARE_TOPICS = tuple(event.TOPIC for event in JOB_EVENTS if event not in ABOUT_A_RUN)
LONGEST_TAIL = 20_000
"""Events searched backwards for a scheduled run that succeeded."""
FIRST_PAGE, LARGEST_PAGE = 16, 512
"""Events read at a time: few at first, because the last scheduled run mostly succeeded."""
SCHEDULED = ("schedule", "catch_up")
"""Triggers of scheduled runs."""


def partial_state(events: EventReader, job_id: UUID, version: int) -> Job | None:
    """The job right after one of its events, without `UNKNOWN_FIELDS`; None when no scheduled run
    near it succeeded: then only a complete replay helps.
    """
    tail = _tail(events, job_id, version)
    if tail is None:
        return None
    job = Job.blank(job_id)
    before = tail[0].id - 1
    rare = AuditQuery(stream=job_id, topics=RARE_TOPICS, until_position=before, limit=MAX_PAGE)
    for event in events.domain_events([*events.find_all_stored(rare)]):
        job.evolve(event)
    job.version = tail[0].originator_version - 1
    for event in events.domain_events(tail):
        event.mutate(job)
    return job


def _tail(events: EventReader, job_id: UUID, version: int) -> Sequence[StoredEvent] | None:
    """The events from the last scheduled run on that succeeded."""
    tail: list[StoredEvent] = []
    last, size = version, FIRST_PAGE
    while last > 0 and version - last < LONGEST_TAIL:
        first = max(0, last - size)
        page = events.stream_stored(job_id, after=first, upto=last, limit=size)
        tail = [*page, *tail]
        start = _last_success(events, tail[: len(page) + 1])
        if start is not None:
            return tail[start:]
        last, size = first, min(2 * size, LARGEST_PAGE)
    return None


def _last_success(events: EventReader, page: Sequence[StoredEvent]) -> int | None:
    """The index at which the last scheduled run starts whose next event is its success."""
    for index in range(len(page) - 2, -1, -1):
        start, end = page[index], page[index + 1]
        if (start.topic, end.topic) != (RunStarted.TOPIC, RunSucceeded.TOPIC):
            continue
        [event] = events.decode([start])
        if event.data["trigger"] in SCHEDULED:
            return index
    return None

"""A job's state folded from few of its events, however many there are.

A slot that started a run which succeeded settles all that runs leave behind: no run is open, no
streak is counted, no request waits, and the breaker is closed. So the state after it follows from
the rare events before it (what people and the breaker decided) and from all events since. Only
what counts or names what happened long ago is missing: `run_count` and `last_delivery`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from ledger.domain.events import ABOUT_A_RUN, JOB_EVENTS, RunStarted, RunSucceeded
from ledger.domain.job.job import Job
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import StoredEvent

NOT_TOLD = ("run_count", "last_delivery")
"""What a state that was folded so does not know."""
RARE_TOPICS = tuple(event.TOPIC for event in JOB_EVENTS if event not in ABOUT_A_RUN)
LONGEST_TAIL = 20_000
"""Events looked back over for a slot that went well."""
FIRST_LOOK, WIDEST_LOOK = 16, 512
"""Events read at a time: few at first, for mostly the last slot went well."""
SETTLING = ("schedule", "catch_up")
"""Triggers of runs that a slot started."""


def short_fold(events: EventReader, job_id: UUID, version: int) -> Job | None:
    """The job right after one of its events, but for `NOT_TOLD`; None when nothing near it settles
    what came before, so that only a whole fold tells.
    """
    tail = _tail(events, job_id, version)
    if tail is None:
        return None
    job = Job.blank(job_id)
    for event in events.domain_events([*_rare(events, job_id, tail[0].id)]):
        job.evolve(event)
    job.version = tail[0].originator_version - 1
    for event in events.domain_events(tail):
        event.mutate(job)
    return job


def _tail(events: EventReader, job_id: UUID, version: int) -> Sequence[StoredEvent] | None:
    """The events from the last slot on that started a run which succeeded."""
    tail: list[StoredEvent] = []
    last, width = version, FIRST_LOOK
    while last > 0 and version - last < LONGEST_TAIL:
        first = max(0, last - width)
        some = events.stream_stored(job_id, after=first, upto=last, limit=width)
        tail = [*some, *tail]
        start = _settling(events, tail[: len(some) + 1])
        if start is not None:
            return tail[start:]
        last, width = first, min(2 * width, WIDEST_LOOK)
    return None


def _settling(events: EventReader, page: Sequence[StoredEvent]) -> int | None:
    """Where the last run starts that a slot started and that succeeded without anything between."""
    for place in range(len(page) - 2, -1, -1):
        start, end = page[place], page[place + 1]
        if (start.topic, end.topic) != (RunStarted.TOPIC, RunSucceeded.TOPIC):
            continue
        [fact] = events.decode([start])
        if fact.data["trigger"] in SETTLING:
            return place
    return None


def _rare(events: EventReader, job_id: UUID, before: int) -> Iterator[StoredEvent]:
    """The events before a position that are not about a run."""
    asked = AuditQuery(stream=job_id, topics=RARE_TOPICS, until_position=before - 1, limit=MAX_PAGE)
    return events.find_all_stored(asked)

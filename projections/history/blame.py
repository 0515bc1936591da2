"""Blame: for every field of a job its value, and the event that set it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from ledger.clock import from_microseconds, rfc3339
from ledger.domain.events import (
    RESUME_TOPICS,
    RUN_END_TOPICS,
    STATUS_AFTER,
    Amended,
    CircuitTripped,
    Completed,
    Deleted,
    Imported,
    Paused,
    RunFailed,
    RunLost,
    RunStarted,
    RunSucceeded,
    Scheduled,
)
from ledger.domain.job.view import view
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.history.history import History
from projections.history.job_events import JobEvents, of_topics
from projections.models.jobs.model import AMENDABLE

PAUSE_TOPICS = (Scheduled.TOPIC, Paused.TOPIC, *RESUME_TOPICS)
"""Events that set or clear `paused_until`."""
RARE_TOPICS = (*STATUS_AFTER, Amended.TOPIC, Imported.TOPIC)
STOP_TOPICS = (Paused.TOPIC, CircuitTripped.TOPIC, Completed.TOPIC, Deleted.TOPIC)
"""Events that clear `next_run_at` without having that field."""

STATE = (
    "status", "next_run_at", "paused_until", "open_run", "last_run", "consecutive_errors",
    "consecutive_losses",
)  # fmt: skip
"""The fields that no caller sets directly."""
ERROR_TOPICS = (RunSucceeded.TOPIC, RunFailed.TOPIC, Imported.TOPIC, *RESUME_TOPICS)
"""Events that set `consecutive_errors`: a success or a resume to 0."""
LOSS_TOPICS = (RunSucceeded.TOPIC, RunFailed.TOPIC, RunLost.TOPIC, *RESUME_TOPICS)
"""Events that set `consecutive_losses`: all but a loss to 0."""


class Blame:
    """Answers from the events of one ledger, deleted jobs included."""

    def __init__(self, events: EventReader, history: History) -> None:
        self._events = events
        self._history = history

    def answer(self, job_id: UUID, *, as_of: int | None = None) -> dict[str, Any]:
        """The job's fields at a position, or now, each with its event. `status` gets the event that
        changed it last, every other field the one that set it last. Raises JobNotFound.
        """
        version = self._history.version_at(job_id, as_of)
        job = self._history.state(job_id, version)
        rare = list(self._rare(job_id, version))
        events = JobEvents(self._events, job_id, version)
        setters = _setters(rare) | _run_setters(events, rare[0])
        values = _values(view(job))
        return {
            "job_id": str(job_id),
            "job_name": job.name,
            "fields": [_field(name, value, setters[name]) for name, value in values.items()],
        }

    def _rare(self, job_id: UUID, version: int) -> Iterator[RecordedEvent]:
        """The events up to a version that are not about a run, in order."""
        query = AuditQuery(stream=job_id, topics=RARE_TOPICS, limit=MAX_PAGE)
        for event in self._events.find_all(query):
            if event.version > version:
                return
            yield event


def _setters(rare: list[RecordedEvent]) -> dict[str, RecordedEvent]:
    """The event that set each field that runs do not change."""
    setters: dict[str, RecordedEvent] = {}
    known: dict[str, Any] = {}
    for event in rare:
        for name, value in _values_set_by(event).items():
            if name not in known or known[name] != value or name == "paused_until":
                setters[name], known[name] = event, value
    return setters


def _values_set_by(event: RecordedEvent) -> dict[str, Any]:
    """The fields that an event sets; a policy key by key."""
    data = event.data
    fields: dict[str, Any] = {}
    if event.topic == Scheduled.TOPIC:
        fields = {name: data[name] for name in AMENDABLE}
    elif event.topic == Amended.TOPIC:
        fields = dict(data["changes"])
    if event.topic in STATUS_AFTER or event.topic == Imported.TOPIC:
        fields["status"] = STATUS_AFTER.get(event.topic) or data["status"]
    if event.topic in PAUSE_TOPICS:
        fields["paused_until"] = data.get("until")
    return _spread(fields)


def _run_setters(events: JobEvents, scheduled: RecordedEvent) -> dict[str, RecordedEvent]:
    """The event that set each field that runs change: it is one of the latest."""
    return {
        "next_run_at": events.last(_sets_next_run) or scheduled,
        "open_run": events.last(of_topics(RunStarted.TOPIC, *RUN_END_TOPICS)) or scheduled,
        "last_run": events.last(of_topics(*RUN_END_TOPICS, Imported.TOPIC, where=_sets_last_run))
        or scheduled,
        "consecutive_errors": events.last(of_topics(*ERROR_TOPICS)) or scheduled,
        "consecutive_losses": events.last(of_topics(*LOSS_TOPICS)) or scheduled,
    }


def _sets_next_run(event: RecordedEvent) -> bool:
    if event.topic == RunStarted.TOPIC:
        return bool(event.data["trigger"] != "manual")
    return "next_run_at" in event.data or event.topic in STOP_TOPICS


def _sets_last_run(event: RecordedEvent) -> bool:
    is_import = event.topic == Imported.TOPIC and event.data["last_run_at"] is not None
    return event.topic in RUN_END_TOPICS or is_import


def _values(job: Mapping[str, Any]) -> dict[str, Any]:
    return _spread({name: job[name] for name in (*STATE, *AMENDABLE)})


def _spread(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with a field for each key of a policy."""
    policy = fields.get("policy") or {}
    plain = {name: value for name, value in fields.items() if name != "policy"}
    return plain | {f"policy.{key}": value for key, value in policy.items()}


def _field(name: str, value: Any, event: RecordedEvent) -> dict[str, Any]:
    return {
        "field": name,
        "value": value,
        "position": event.position,
        "topic": event.topic,
        "actor": event.data["actor"],
        "recorded_at": rfc3339(from_microseconds(event.recorded_at)),
        "reason": event.data["reason"],
    }

"""Blame: for every field of a job the value it has, and the event that gave it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from ledger.clock import from_microseconds, rfc3339
from ledger.domain.job.view import view
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.history.history import History
from projections.history.job_events import JobEvents, of
from projections.models.jobs.model import AMENDABLE
from projections.why.dispatcher_activity import ENDS, STARTED

STATUS_TOPICS: Mapping[str, str] = {
    "job.scheduled": "active",
    "job.paused": "paused",
    "job.resumed": "active",
    "job.force_resumed": "active",
    "job.circuit_closed": "active",
    "job.circuit_tripped": "failed",
    "job.completed": "completed",
    "job.deleted": "deleted",
}
"""What each topic makes of the status; an import brings its own."""
PAUSE_TOPICS = (
    "job.scheduled", "job.paused", "job.resumed", "job.force_resumed", "job.circuit_closed",
)  # fmt: skip
"""What sets `paused_until`, or clears it."""
RARE_TOPICS = (*STATUS_TOPICS, "job.amended", "job.imported")
STOPS = ("job.paused", "job.circuit_tripped", "job.completed", "job.deleted")
"""What takes the next run away, though it has no such field."""

STATE = (
    "status", "next_run_at", "paused_until", "open_run", "last_run", "consecutive_errors",
    "consecutive_losses",
)  # fmt: skip
"""The fields that nobody writes by hand."""
REVIVALS = ("job.resumed", "job.force_resumed", "job.circuit_closed")
ERROR_TOPICS = ("job.run_succeeded", "job.run_failed", "job.imported", *REVIVALS)
"""What sets `consecutive_errors`: a success and a revival to none."""
LOSS_TOPICS = ("job.run_succeeded", "job.run_failed", "job.run_lost", *REVIVALS)
"""What sets `consecutive_losses`: whatever is no loss, to none."""


class Blame:
    """Answers from the book of one ledger, deleted jobs included."""

    def __init__(self, events: EventReader, history: History) -> None:
        self._events = events
        self._history = history

    def answer(self, job_id: UUID, *, as_of: int | None = None) -> dict[str, Any]:
        """The job's fields as they stood at a position, or stand, each with its event. `status` is
        blamed on what changed it last, everything else on what set it last. Refuses JobNotFound.
        """
        version = self._history.version_at(job_id, as_of)
        job = self._history.state(job_id, version)
        rare = list(self._rare(job_id, version))
        given = _given(rare) | _given_by_runs(JobEvents(self._events, job_id, version), rare[0])
        values = _values(view(job))
        return {
            "job_id": str(job_id),
            "job_name": job.name,
            "fields": [_field(name, value, given[name]) for name, value in values.items()],
        }

    def _rare(self, job_id: UUID, version: int) -> Iterator[RecordedEvent]:
        """The events that are not about a run, up to a version, in order."""
        asked = AuditQuery(stream=job_id, topics=RARE_TOPICS, limit=MAX_PAGE)
        for event in self._events.find_all(asked):
            if event.version > version:
                return
            yield event


def _given(rare: list[RecordedEvent]) -> dict[str, RecordedEvent]:
    """Which event gave each field that no run touches."""
    given: dict[str, RecordedEvent] = {}
    known: dict[str, Any] = {}
    for fact in rare:
        for name, value in _written(fact).items():
            if name not in known or known[name] != value or name == "paused_until":
                given[name], known[name] = fact, value
    return given


def _written(fact: RecordedEvent) -> dict[str, Any]:
    """The fields that an event sets, policies key by key."""
    data = fact.data
    fields: dict[str, Any] = {}
    if fact.topic == "job.scheduled":
        fields = {name: data[name] for name in AMENDABLE}
    elif fact.topic == "job.amended":
        fields = dict(data["changes"])
    if fact.topic in STATUS_TOPICS or fact.topic == "job.imported":
        fields["status"] = STATUS_TOPICS.get(fact.topic) or data["status"]
    if fact.topic in PAUSE_TOPICS:
        fields["paused_until"] = data.get("until")
    return _spread(fields)


def _given_by_runs(trail: JobEvents, birth: RecordedEvent) -> dict[str, RecordedEvent]:
    """Which event gave the fields that runs change: it stands near the end."""
    return {
        "next_run_at": trail.last(_sets_next_run) or birth,
        "open_run": trail.last(of(STARTED, *ENDS)) or birth,
        "last_run": trail.last(of(*ENDS, "job.imported", where=_sets_last_run)) or birth,
        "consecutive_errors": trail.last(of(*ERROR_TOPICS)) or birth,
        "consecutive_losses": trail.last(of(*LOSS_TOPICS)) or birth,
    }


def _sets_next_run(fact: RecordedEvent) -> bool:
    if fact.topic == STARTED:
        return bool(fact.data["trigger"] != "manual")
    return "next_run_at" in fact.data or fact.topic in STOPS


def _sets_last_run(fact: RecordedEvent) -> bool:
    is_import = fact.topic == "job.imported" and fact.data["last_run_at"] is not None
    return fact.topic in ENDS or is_import


def _values(job: Mapping[str, Any]) -> dict[str, Any]:
    return _spread({name: job[name] for name in (*STATE, *AMENDABLE)})


def _spread(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A policy as one field a key."""
    policy = fields.get("policy") or {}
    plain = {name: value for name, value in fields.items() if name != "policy"}
    return plain | {f"policy.{key}": value for key, value in policy.items()}


def _field(name: str, value: Any, fact: RecordedEvent) -> dict[str, Any]:
    return {
        "field": name,
        "value": value,
        "position": fact.position,
        "topic": fact.topic,
        "actor": fact.data["actor"],
        "recorded_at": rfc3339(from_microseconds(fact.recorded_at)),
        "reason": fact.data["reason"],
    }

"""A job's audit in Phantom's shape: the actions on the job, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice, pairwise
from typing import Any
from uuid import UUID

from ledger.domain.events import (
    Amended,
    CircuitClosed,
    CircuitTripped,
    Completed,
    Deleted,
    ForceResumed,
    Imported,
    Paused,
    Resumed,
    RunRequested,
    Scheduled,
)
from ledger.errors import JobNotFound
from ledger.store.audit_query import AuditQuery
from ledger.store.event_queries import EventQueries

ACTIONS: Mapping[str, str] = {
    Scheduled.TOPIC: "create",
    Paused.TOPIC: "pause",
    Resumed.TOPIC: "resume",
    ForceResumed.TOPIC: "resume",
    CircuitClosed.TOPIC: "resume",
    RunRequested.TOPIC: "run",
    Deleted.TOPIC: "delete",
}
"""Phantom's action for each topic. The other topics are only in `/v1/jobs/{id}/events`."""
STATUSES: Mapping[str, str | None] = {
    Scheduled.TOPIC: "active",
    Paused.TOPIC: "paused",
    Resumed.TOPIC: "active",
    ForceResumed.TOPIC: "active",
    CircuitClosed.TOPIC: "active",
    CircuitTripped.TOPIC: "failed",
    Completed.TOPIC: "completed",
    Deleted.TOPIC: None,
}
"""The status of a job after each topic that determines it."""
READ = (*STATUSES, Imported.TOPIC, RunRequested.TOPIC)

Event = Mapping[str, Any]


def entries(queries: EventQueries, job_id: UUID, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` entries of a job, deleted or not. Refuses JobNotFound for a job that never
    existed. The topics alone give every status, so no event is replayed.
    """
    if not queries.audit(AuditQuery(stream=job_id, limit=1)).events:
        raise JobNotFound(job_id)
    query = AuditQuery(stream=job_id, topics=READ, order="desc")
    name = _name_of(queries, job_id)
    pairs = (event for event in pairwise([*_events(queries, query, limit), None]))
    shown = (
        _entry(event, _status_after(before), name)
        for event, before in pairs
        if event is not None and event["topic"] in ACTIONS
    )
    return list(islice(shown, limit))


def _events(queries: EventQueries, query: AuditQuery, limit: int) -> list[Event]:
    """Events newest first, enough for `limit` entries and the event before the last entry."""
    found: list[Event] = []
    count = 0
    for event in queries.export(query):
        found.append(event)
        if count == limit:
            break
        count += event["topic"] in ACTIONS
    return found


def _name_of(queries: EventQueries, job_id: UUID) -> str:
    """The job's last name, from the newest event that sets one."""
    topics = (Scheduled.TOPIC, Amended.TOPIC)
    for event in queries.export(AuditQuery(stream=job_id, topics=topics, order="desc")):
        data = event["data"]
        name = data.get("name") or data.get("changes", {}).get("name")
        if name is not None:
            return str(name)
    raise JobNotFound(job_id)


def _entry(event: Event, previous: str | None, name: str) -> dict[str, Any]:
    topic = event["topic"]
    return {
        "id": event["position"],
        "job_id": event["job_id"],
        "job_name": name,
        "action": ACTIONS[topic],
        "previous_status": previous,
        "new_status": STATUSES.get(topic, previous),
        "actor": event["actor"]["kind"],
        "detail": _detail(event),
        "created_at": event["recorded_at"],
    }


def _status_after(event: Event | None) -> str | None:
    """The status after an event; a run is only requested of an active job."""
    if event is None:
        return None
    if event["topic"] == Imported.TOPIC:
        return str(event["data"]["status"])
    return STATUSES.get(event["topic"], "active")


def _detail(event: Event) -> str | None:
    reason: str | None = event["reason"]
    match event["topic"]:
        case ForceResumed.TOPIC:
            errors = event["data"]["cleared_errors"]
            why = reason or "no reason was given"
            return f"forced past its breaker (consecutive errors: {errors}): {why}"
        case CircuitClosed.TOPIC:
            return "a probe succeeded"
        case _:
            return reason

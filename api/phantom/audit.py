"""A job's audit as Phantom shows it: what people and agents did to it, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice, pairwise
from typing import Any
from uuid import UUID

from ledger.errors import JobNotFound
from ledger.store.audit_query import AuditQuery
from ledger.store.event_queries import EventQueries

ACTIONS: Mapping[str, str] = {
    "job.scheduled": "create",
    "job.paused": "pause",
    "job.resumed": "resume",
    "job.force_resumed": "resume",
    "job.circuit_closed": "resume",
    "job.run_requested": "run",
    "job.deleted": "delete",
}
"""Phantom's words for what happens to a job. What it has no word for is in `/v1/jobs/{id}/events`.
"""
STATUSES: Mapping[str, str | None] = {
    "job.scheduled": "active",
    "job.paused": "paused",
    "job.resumed": "active",
    "job.force_resumed": "active",
    "job.circuit_closed": "active",
    "job.circuit_tripped": "failed",
    "job.completed": "completed",
    "job.deleted": None,
}
"""The status of a job right after an event that says one."""
READ = (*STATUSES, "job.imported", "job.run_requested")

Event = Mapping[str, Any]


def entries(reading: EventQueries, job_id: UUID, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` entries of a job, deleted or not. Refuses JobNotFound when there never was one.

    Every status stands in the events themselves, so no state is folded.
    """
    if not reading.audit(AuditQuery(stream=job_id, limit=1)).events:
        raise JobNotFound(job_id)
    query = AuditQuery(stream=job_id, topics=READ, order="desc")
    name = _name_of(reading, job_id)
    told = (event for event in pairwise([*_events(reading, query, limit), None]))
    shown = (
        _entry(event, _status_after(before), name)
        for event, before in told
        if event is not None and event["topic"] in ACTIONS
    )
    return list(islice(shown, limit))


def _events(reading: EventQueries, query: AuditQuery, limit: int) -> list[Event]:
    """Enough of them, newest first, for `limit` entries and the event before the last of them."""
    found: list[Event] = []
    count = 0
    for event in reading.export(query):
        found.append(event)
        if count == limit:
            break
        count += event["topic"] in ACTIONS
    return found


def _name_of(reading: EventQueries, job_id: UUID) -> str:
    """The job's last name: of the newest event that gives one."""
    topics = ("job.scheduled", "job.amended")
    for event in reading.export(AuditQuery(stream=job_id, topics=topics, order="desc")):
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
    """The status that an event left; a run is only asked of an active job."""
    if event is None:
        return None
    if event["topic"] == "job.imported":
        return str(event["data"]["status"])
    return STATUSES.get(event["topic"], "active")


def _detail(event: Event) -> str | None:
    reason: str | None = event["reason"]
    match event["topic"]:
        case "job.force_resumed":
            errors = event["data"]["cleared_errors"]
            why = reason or "no reason was given"
            return f"forced past its breaker (consecutive errors: {errors}): {why}"
        case "job.circuit_closed":
            return "a probe succeeded"
        case _:
            return reason

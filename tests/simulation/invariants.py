"""Invariants of any history, read from events alone: the checks X, S and P."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger import Ledger
from ledger.application.commands.runs import Claimed
from ledger.application.snapshots import dump_job
from ledger.domain.job.job import Job
from ledger.domain.job.view import view
from ledger.domain.schedule.recurrence import missed_fires, next_fire
from ledger.domain.schedule.schedules import parse_schedule
from ledger.maintenance.verify import verify_event_store
from ledger.store.audit_query import AuditQuery
from projections.models.jobs.queries import JobFilter
from projections.read_models import ReadModels
from tests.simulation.external_workers import ExternalWorkers
from tests.support.read_models import jobs_in

OUTCOMES = ("job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked")
LATE = (*OUTCOMES, "job.delivered", "job.delivery_failed")
PATIENCE = timedelta(seconds=60)
"""How long a due job may wait in the simulation, whose steps take 20 s."""
LONGEST = timedelta(seconds=300 + 20 + 10)
"""The default time-out, a step of the simulation, and the reaper's interval."""
SLOTS = ("schedule", "catch_up", "retry")


def histories(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Every job's events, in order."""
    by_job: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in ledger.queries.export(AuditQuery()):
        if event["topic"].startswith("job."):
            by_job[event["job_id"]].append(event)
    return by_job


def check_history(events: list[dict[str, Any]]) -> None:
    """The invariants of one job's history."""
    open_run = ended = None
    started: set[tuple[str, str, int]] = set()
    for event in events:
        topic, data = event["topic"], event["data"]
        if ended is not None:
            assert topic in LATE or topic == "job.deleted", f"{topic} follows {ended}"
        if topic == "job.run_started":
            assert open_run is None, "X2: a second run was opened"
            key = (data["scheduled_for"], data["trigger"], data["attempt"])
            assert key not in started, f"X1: {key} was started twice"
            started.add(key)
            open_run = data["run_id"]
        elif topic in OUTCOMES:
            assert open_run == data["run_id"], "X4: an outcome of a run that was not open"
            open_run = None
        elif topic in ("job.completed", "job.deleted"):
            ended = topic
    versions = [event["version"] for event in events]
    assert versions == list(range(1, len(events) + 1))


def check_launches(launched: Iterable[Claimed], by_job: dict[str, list[dict[str, Any]]]) -> None:
    """X3: nothing was executed without a committed start, and nothing twice."""
    recorded = {
        event["data"]["run_id"]
        for events in by_job.values()
        for event in events
        if event["topic"] == "job.run_started"
    }
    ids = [claimed.run.run_id for claimed in launched]
    assert len(ids) == len(set(ids)), "a run was executed twice"
    assert set(ids) <= recorded, "a run was executed without a committed start"


def check_reports(
    external_workers: ExternalWorkers, by_job: dict[str, list[dict[str, Any]]]
) -> None:
    """X6, and that heartbeats count: a run whose report was accepted ended by it, and no run was
    ended before the instant that its worker had been given.
    """
    ends = {
        event["data"]["run_id"]: event
        for events in by_job.values()
        for event in events
        if event["topic"] in OUTCOMES
    }
    assert len(external_workers.accepted) == len(set(external_workers.accepted)), (
        "a report was accepted twice"
    )
    for run_id in external_workers.accepted:
        assert ends[run_id]["actor"]["kind"] == "worker", f"X6: {ends[run_id]}"
    for run_id in external_workers.refused:
        assert run_id in ends, f"a report of {run_id} was refused, and it has not ended"
    for run_id, until in external_workers.promised.items():
        end = ends.get(run_id)
        if end is not None and end["topic"] == "job.run_lost":
            at = datetime.fromisoformat(end["timestamp"])
            assert at >= until, f"{run_id} was lost at {at}, and promised until {until}"


def check_leases(ledger: Ledger) -> None:
    """X4: the leases are those of open runs, in memory as in the store, and none has expired."""
    kept = {row.run_id: row for row in ledger.event_store.leases().rows}
    assert kept == ledger.job_cache.runs.leases
    open_runs = {run.run_id for _, run in ledger.job_cache.runs.open_runs()}
    assert set(kept) <= open_runs, "a lease outlived its run"
    now = ledger.clock.now()
    for _, run in ledger.job_cache.runs.open_runs():
        assert now - run.started_at < LONGEST, f"X4: {run} never ends"


def check_event_store(ledger: Ledger) -> None:
    """The chain verifies, and every cached job is the fold of its events."""
    assert verify_event_store(ledger.event_store).is_sound
    for head in ledger.job_cache.snapshot():
        assert dump_job(head) == dump_job(ledger.fold(head.id)), head.id


def check_no_job_waits(ledger: Ledger) -> None:
    """X9: no job that may fire is left behind: each runs, or waits for a future instant."""
    now = ledger.clock.now()
    for job in ledger.job_cache.snapshot():
        if job.may_fire and job.open_run is None:
            assert job.next_run_at is not None or job.is_run_requested, job.id
            due_at = job.next_run_at or now
            assert due_at > now - PATIENCE, (job.id, due_at, now)


def check_read_models(ledger: Ledger, read_models: ReadModels, jobs: Iterable[UUID]) -> None:
    """P1: every read model equals the fold."""
    read_models.catch_up()
    assert {item["problem"] for item in read_models.health()} == {None}
    folded = [view(job) for job in (ledger.fold(job_id) for job_id in jobs) if is_listed(job)]
    listed, following = jobs_in(read_models, JobFilter(limit=1000))
    assert following is None
    assert sorted(listed, key=by_id) == sorted(folded, key=by_id)


def check_slots(ledger: Ledger, job_id: UUID, events: list[dict[str, Any]]) -> None:
    """Every slot of a cron schedule was started, or is recorded as missed, or is yet to come."""
    job = ledger.fold(job_id)
    schedule = parse_schedule(job.schedule)
    if job.schedule["kind"] != "cron" or job.status != "active" or job.open_run is not None:
        return
    created = datetime.fromisoformat(events[0]["timestamp"])
    first, last = next_fire(schedule, after=created), job.next_run_at
    assert first is not None
    assert last is not None
    owed = missed_fires(schedule, first=first, until=last, cause="") if first < last else None
    upto = 0 if owed is None else owed.count - (owed.last == last)
    ran = {
        event["data"]["scheduled_for"]
        for event in events
        if event["topic"] == "job.run_started" and event["data"]["trigger"] in SLOTS
    }
    ran_slots = sum(1 for text in ran if _names_slot(schedule, text))
    missed = sum(
        event["data"]["missed"]["count"] for event in events if event["data"].get("missed")
    )
    assert ran_slots + missed == upto, (ran_slots, missed, upto)


def _names_slot(schedule: Any, text: str) -> bool:
    at = datetime.fromisoformat(text)
    fire = next_fire(schedule, after=datetime.fromtimestamp(at.timestamp() - 0.001, at.tzinfo))
    return fire == at


def is_listed(job: Job) -> bool:
    return job.version > 0 and job.status != "deleted"


def by_id(job: dict[str, Any]) -> str:
    return str(job["id"])

"""A job's whole state as bytes, and back: the format of snapshots."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from ledger.domain.job.job import Job
from ledger.domain.job.state import OpenRun

FORMAT = 2
"""Changes when the saved state changes shape; snapshots of another format are ignored."""
INSTANTS = (
    "created_at",
    "updated_at",
    "next_run_at",
    "paused_until",
    "stopped_at",
    "owed_from",
    "settled_until",
    "tripped_at",
    "probe_at",
)
DERIVED = (
    "parsed_schedule",
    "parsed_policy",
    "_id",
    "_version",
    "_pending_events",
    "_created_on",
    "_modified_on",
)


def dump_job(job: Job) -> bytes:
    """A job's whole state as bytes."""
    state = {name: value for name, value in vars(job).items() if name not in DERIVED}
    state["open_run"] = asdict(job.open_run) if job.open_run else None
    return orjson.dumps({"format": FORMAT, "state": state})


def load_job(job_id: UUID, version: int, saved: bytes) -> Job:
    """The saved job. Raises ValueError when the bytes have another format."""
    plain: dict[str, Any] = orjson.loads(saved)
    if plain.get("format") != FORMAT:
        raise ValueError(f"a snapshot of job {job_id} has another format")
    job = Job.blank(job_id)
    state = plain["state"]
    for name in INSTANTS:
        state[name] = _instant(state[name])
    if state["open_run"] is not None:
        run = state["open_run"]
        state["open_run"] = OpenRun(
            **{
                **run,
                **{
                    name: _instant(run[name])
                    for name in ("scheduled_for", "started_at", "lease_until")
                },
            }
        )
    if state["last_run"] is not None:
        state["last_run"]["started_at"] = _instant(state["last_run"]["started_at"])
    vars(job).update(state)
    job.version = version
    return job


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

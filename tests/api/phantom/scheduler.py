"""What the tests of Phantom's routes share: its shapes, jobs, and runs that end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from ledger.application.commands import runs as run_commands
from ledger.domain.job import outcomes
from tests.api.harness import Api

PATH = "/ui/api/scheduler"
DIGEST = {
    "name": "hn-digest",
    "description": "Top stories every 6 hours",
    "task": "Fetch the top 10 stories and post a summary.",
    "schedule": {"kind": "every", "intervalMs": 21_600_000},
    "delivery": {"channel": "slack", "target": "owner"},
}
JOB_KEYS = {
    "id", "name", "description", "enabled", "schedule", "task", "delivery", "status", "lastRunAt",
    "lastRunStatus", "lastRunDurationMs", "lastRunError", "lastDeliveryStatus", "nextRunAt",
    "runCount", "consecutiveErrors", "deleteAfterRun", "createdAt", "createdBy", "updatedAt",
}  # fmt: skip
FAILURE = outcomes.Failure("Error: no money", "other", None, None, 7)
OUTPUT = outcomes.Success(output="Hello", output_bytes=5, output_sha256="0" * 64, duration_ms=5)


def create(api: Api, **fields: Any) -> dict[str, Any]:
    """A job created on Phantom's route."""
    return job_in(api.post(PATH, {**DIGEST, **fields}), 201)


def job_in(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"job"}
    job: dict[str, Any] = answer.json()["job"]
    assert job.keys() == JOB_KEYS
    return job


def ending(api: Api, job_id: str, outcome: run_commands.Outcome) -> Callable[[], None]:
    """What a dispatcher does: start the requested run, and report its outcome."""
    return lambda: api.end_run(job_id, api.claim_run(job_id), outcome)


def audit(api: Api, job_id: str, limit: int = 20) -> list[dict[str, Any]]:
    answer = api.get(f"{PATH}/{job_id}/audit?limit={limit}")
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["entries"]
    return entries


def changes(api: Api, job_id: str) -> list[tuple[str, str | None, str | None]]:
    """Action, status before and status after, oldest first."""
    return [
        (entry["action"], entry["previous_status"], entry["new_status"])
        for entry in reversed(audit(api, job_id))
    ]

"""pause, resume, run, delete: control one job."""

from __future__ import annotations

from typing import Annotated

from api.cli.connection.client import ApiClient, given
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.exit_codes import Misused
from api.cli.options import AsJson, DataFolder, JobWanted, Reason, Yes, flag, switch
from api.cli.output.render import changed_job, short
from api.cli.output.terminal import complain, is_interactive, require_yes
from api.cli.output.times import ago, read_instant
from ledger.clock import SystemClock
from ledger.plurals import counted

Until = Annotated[str | None, flag("--until", "INSTANT", "Resume automatically then, or after 2h.")]
Force = Annotated[bool, switch("--force", "Resume a failed job (only once the cause is fixed).")]
RunAt = Annotated[str | None, flag("--run-at", "INSTANT", "Next run: RFC 3339, or relative (2h).")]
RunNow = Annotated[bool, switch("--run-now", "Run immediately.")]


def pause(
    wanted: JobWanted,
    until: Until = None,
    reason: Reason = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Stop a job from firing until it is resumed.

    With --until it resumes by itself.
    """
    now = SystemClock().now()
    ends_at = read_instant(until, "--until", now) if until is not None else None
    with connect(Intent.CHANGE, data) as client:
        body = given(until=ends_at, reason=reason)
        answer = client.request("POST", f"/v1/jobs/{find_job_id(client, wanted)}/pause", body=body)
    changed_job(answer, as_json, "paused", now)


def resume(
    wanted: JobWanted,
    force: Force = False,
    reason: Reason = None,
    run_at: RunAt = None,
    run_now: RunNow = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Resume a paused job, or a failed one by force.

    A failed job needs --force. A completed job is never resumed.
    """
    now = SystemClock().now()
    if run_at is not None and run_now:
        raise Misused("Give --run-at or --run-now, not both.")
    at = read_instant(run_at, "--run-at", now) if run_at is not None else None
    with connect(Intent.CHANGE, data) as client:
        job_id = find_job_id(client, wanted)
        if force and not yes and is_interactive():
            _confirm_cause_is_fixed(client, job_id)
        body = given(force=force or None, reason=reason, run_at=at, run_now=run_now or None)
        answer = client.request("POST", f"/v1/jobs/{job_id}/resume", body=body)
    changed_job(answer, as_json, "resumed", now)


def run(
    wanted: JobWanted, reason: Reason = None, as_json: AsJson = False, data: DataFolder = None
) -> None:
    """Request one run now.

    The dispatcher starts it: without one nothing runs.
    """
    with connect(Intent.CHANGE, data) as client:
        body = given(reason=reason)
        answer = client.request("POST", f"/v1/jobs/{find_job_id(client, wanted)}/run", body=body)
    changed_job(answer, as_json, "run requested", SystemClock().now())


def delete(
    wanted: JobWanted,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Delete a job and free its name; its history stays."""
    with connect(Intent.CHANGE, data) as client:
        job_id = find_job_id(client, wanted)
        if not yes and is_interactive():
            job = client.request("GET", f"/v1/jobs/{job_id}").document["job"]
            require_yes(f"Delete {job['name']} ({short(job_id)})?")
        answer = client.request("DELETE", f"/v1/jobs/{job_id}", body=given(reason=reason))
    changed_job(answer, as_json, "deleted", SystemClock().now())


def _confirm_cause_is_fixed(client: ApiClient, job_id: str) -> None:
    """Show when and why a failed job tripped, and ask, before its breaker is overruled."""
    job = client.request("GET", f"/v1/jobs/{job_id}").document["job"]
    if job["status"] == "failed":
        complain(f"{job['name']} ({short(job_id)}) is failed: {_trip_text(client, job_id)}")
        require_yes("Is the cause fixed? Resume the job?")


def _trip_text(client: ApiClient, job_id: str) -> str:
    query = {"job": job_id, "topic": "job.circuit_tripped", "order": "desc", "limit": 1}
    trips = client.request("GET", "/v1/events", query=query).document["events"]
    if not trips:
        return "its history has no trip."
    trip = trips[0]["data"]
    at = ago(trips[0]["recorded_at"], SystemClock().now())
    errors = counted(trip["consecutive_errors"], "consecutive error")
    return f"its breaker tripped {at} after {errors}, {trip['failure_class']}: {trip['last_error']}"

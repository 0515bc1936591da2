"""The answers of Phantom's routes, as OpenAPI documents them."""

from __future__ import annotations

from typing import Any

from api.http.openapi import FLAG, INSTANT, NUMBER, OBJECT, TEXT, answers, list_of, or_null, shape

_JOB = shape(
    id=TEXT,
    name=TEXT,
    description=or_null(TEXT),
    enabled=FLAG,
    schedule=OBJECT,
    task=TEXT,
    delivery=shape(channel=TEXT, target=TEXT),
    status={"enum": ["active", "paused", "completed", "failed"]},
    lastRunAt=or_null(INSTANT),
    lastRunStatus={"enum": ["ok", "error", "skipped", None]},
    lastRunDurationMs=or_null(NUMBER),
    lastRunError=or_null(TEXT),
    lastDeliveryStatus=or_null(TEXT),
    nextRunAt=or_null(INSTANT),
    runCount=NUMBER,
    consecutiveErrors=NUMBER,
    deleteAfterRun=FLAG,
    createdAt=INSTANT,
    createdBy=TEXT,
    updatedAt=INSTANT,
)
_SUMMARY = shape(
    total=NUMBER,
    active=NUMBER,
    paused=NUMBER,
    completed=NUMBER,
    failed=NUMBER,
    nextFireAt=or_null(INSTANT),
    recentFailures=NUMBER,
)
_ENTRY = shape(
    id=NUMBER,
    job_id=TEXT,
    job_name=TEXT,
    action={"enum": ["create", "pause", "resume", "run", "delete"]},
    previous_status=or_null(TEXT),
    new_status=or_null(TEXT),
    actor=TEXT,
    detail=or_null(TEXT),
    created_at=INSTANT,
)
_ERROR = {**shape(error=TEXT), "additionalProperties": False}
REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": answers(_ERROR, "A refusal; `error` says why."),
    "5XX": answers(_ERROR, "A failure; some pass after Retry-After."),
}
"""Documented on every route of Phantom's."""
LISTING = answers(shape(summary=_SUMMARY, jobs=list_of(_JOB)), "The counts and the jobs.")
ONE_JOB = answers(shape(job=_JOB), "The job after the command.")
PREVIEW = answers(
    shape(nextRunAt=or_null(INSTANT), humanReadable=or_null(TEXT), error=or_null(TEXT)),
    "The next fire, or why the schedule is invalid.",
)
DELETED = answers(shape(deleted={"const": True}), "The job is deleted; its audit remains.")
AUDIT = answers(shape(entries=list_of(_ENTRY)), "Newest first.")
NOT_UNDERSTOOD = answers(shape(error=TEXT), "Descriptions in words are not supported.")
RESULT = answers(
    shape(result=TEXT, job=or_null(_JOB)),
    "The run's output or error; the job is null once it is deleted.",
)

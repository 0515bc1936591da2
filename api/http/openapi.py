"""The answers of routes as OpenAPI documents them, each shape once."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST

from api.http.errors import PROBLEM
from api.security.auth import Role
from ledger.domain.job.view import JOB_FIELDS, Kind

Schema = dict[str, Any]

PROMETHEUS_TEXT = CONTENT_TYPE_LATEST
"""The media type of a scrape."""

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
INSTANT: Schema = {"type": "string", "format": "date-time"}


def or_null(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: Schema) -> Schema:
    """A list of the schema."""
    return {"type": "array", "items": schema}


def shape(**properties: Schema) -> Schema:
    """An object with these properties, all required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


ACTOR = shape(id=TEXT, kind={"enum": ["user", "agent", "worker", "system"]})
_JOB_SCHEMAS: dict[Kind, Schema] = {
    "id": TEXT,
    "text": TEXT,
    "text?": or_null(TEXT),
    "status": {"enum": ["active", "paused", "failed", "completed", "deleted"]},
    "flag": FLAG,
    "count": NUMBER,
    "object": OBJECT,
    "object?": or_null(OBJECT),
    "list": list_of(TEXT),
    "instant": INSTANT,
    "instant?": or_null(INSTANT),
    "open_run": or_null(OBJECT),
    "last_run": or_null(OBJECT),
    "actor": ACTOR,
}
JOB = shape(**{name: _JOB_SCHEMAS[kind] for name, kind in JOB_FIELDS.items()})
EVENT = shape(
    position=NUMBER,
    topic=TEXT,
    event_version=NUMBER,
    job_id=or_null(TEXT),
    version=NUMBER,
    recorded_at=INSTANT,
    timestamp=INSTANT,
    actor=ACTOR,
    source=TEXT,
    command_id=TEXT,
    correlation_id=or_null(TEXT),
    reason=or_null(TEXT),
    data=OBJECT,
)
TOKEN = shape(
    id=TEXT,
    name=TEXT,
    role=TEXT,
    kind=TEXT,
    expires_at=or_null(INSTANT),
    revoked_at=or_null(INSTANT),
)
PROBLEM_SHAPE = shape(type=TEXT, title=TEXT, status=NUMBER, detail=TEXT, code=TEXT)
SHAPES = {
    "Job": JOB,
    "Event": EVENT,
    "Run": shape(run_id=TEXT, job_id=TEXT, status=TEXT),
    "Token": TOKEN,
    "Storm": shape(id=TEXT, is_open=FLAG, signature=TEXT, over_at=or_null(INSTANT)),
    "Recovery": shape(
        id=TEXT,
        status={"enum": ["probing", "dripping", "settling", "aborted", "completed"]},
        job_count=NUMBER,
        left_count=NUMBER,
        re_trip_count=NUMBER,
        next_step_at=or_null(INSTANT),
        cause=or_null(TEXT),
        ended_at=or_null(INSTANT),
        ended_by=or_null(ACTOR),
        end_reason=or_null(TEXT),
    ),
    "Problem": PROBLEM_SHAPE,
}

_ITEMS = {
    "jobs": "Job",
    "events": "Event",
    "runs": "Run",
    "storms": "Storm",
    "recoveries": "Recovery",
    "tokens": "Token",
}


def answers(schema: Schema, description: str) -> dict[str, Any]:
    """A JSON answer."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def listed(key: str) -> dict[str, Any]:
    """A page of a list."""
    items = list_of(_ref(_ITEMS[key]))
    return answers(shape(**{key: items}, next=or_null(TEXT), position=NUMBER), "One page.")


COMMAND = answers(
    shape(job=_ref("Job"), changed=FLAG, position=NUMBER),
    "The job after the command, whether anything changed, and the position.",
)
ONE_JOB = answers(shape(job=_ref("Job")), "The job; its revision is the ETag.")
ONE_STORM = answers(shape(storm=_ref("Storm"), position=NUMBER), "The storm.")
RESUMES = answers(
    shape(resumes=list_of(OBJECT), next=or_null(TEXT), rates=OBJECT, position=NUMBER),
    "One page, and how many of all matching ones held.",
)
GAPS = answers(
    shape(
        gaps=list_of(OBJECT),
        open=list_of(OBJECT),
        open_count=NUMBER,
        next=or_null(TEXT),
        position=NUMBER,
    ),
    "One page of recorded gaps; the first page also has the open ones.",
)
BLAME = answers(
    shape(blame=shape(job_id=TEXT, job_name=TEXT, fields=list_of(OBJECT)), position=NUMBER),
    "Each field with its value and the event that set it.",
)
WHY = answers(
    shape(
        why=shape(
            job_id=TEXT,
            job_name=TEXT,
            at=INSTANT,
            position=NUMBER,
            answer=TEXT,
            text=TEXT,
            chain=list_of(OBJECT),
            would_run=list_of(OBJECT),
            next_run_at=or_null(INSTANT),
            last_run=or_null(OBJECT),
        ),
        position=NUMBER,
    ),
    "The reason as a code, a sentence and the chain of events behind it.",
)
ONE_RECOVERY = answers(shape(recovery=_ref("Recovery"), position=NUMBER), "The recovery.")
RECOVERY_CHANGED = answers(
    shape(recovery=_ref("Recovery"), changed=FLAG, position=NUMBER),
    "The recovery after the command, whether anything changed, and the position.",
)
RECOVERY_PLAN = answers(
    shape(plan=OBJECT, position=NUMBER), "The plan of a dry run, which commits nothing."
)
WHAT_IF = answers(
    shape(what_if=OBJECT, jobs=list_of(OBJECT), next=or_null(TEXT), position=NUMBER),
    "The totals as recorded and as simulated, and a page of the jobs that differ.",
)
WHAT_IF["content"] |= {"text/csv; charset=utf-8": {"schema": TEXT}}
CLAIMED = answers(
    shape(run=OBJECT, job=_ref("Job"), token=TEXT, position=NUMBER),
    "The claimed run, its job, and the token that reports on the run.",
)
NOTHING_DUE: dict[str, Any] = {"description": "Nothing was due."}
HEARTBEAT = answers(shape(run_id=TEXT, lease_until=INSTANT), "The new end of the lease.")
PREVIEW = answers(shape(fires=list_of(INSTANT), text=TEXT), "The next fires.")
IMPORTED = answers(
    shape(jobs=list_of(OBJECT), imported=NUMBER, refused=NUMBER, position=NUMBER),
    "Each job in the order given: {origin_id, job} or {origin_id, refusal: {code, detail}}.",
)
SUMMARY = answers(shape(summary=OBJECT, position=NUMBER), "The counts.")
EVIDENCE = answers(
    shape(ledger_id=TEXT, position=NUMBER, chain=TEXT), "The last position and its chain value."
)
TOKEN_CREATED = answers(
    shape(token=_ref("Token"), secret=TEXT, changed=FLAG, position=NUMBER),
    "The token; only this answer has its secret.",
)
TOKEN_REVOKED = answers(shape(token=_ref("Token"), changed=FLAG, position=NUMBER), "The token.")
HEALTH = answers(shape(status=TEXT), "The status.")
DIFF = answers(
    shape(
        **{"from": OBJECT, "to": OBJECT}, jobs=list_of(OBJECT), next=or_null(TEXT), position=NUMBER
    ),
    "The jobs that differ: each scheduled, deleted or changed, with its fields.",
)
AUDIT = listed("events")
AUDIT["content"] |= {
    "application/jsonl": {"schema": TEXT},
    "text/csv; charset=utf-8": {"schema": TEXT},
}
STREAM = {
    "description": "Server-sent events: `id` is the position, `event` the topic, `data` an Event.",
    "content": {"text/event-stream": {"schema": TEXT}},
}
METRICS = {
    "description": "The text format of Prometheus.",
    "content": {PROMETHEUS_TEXT: {"schema": TEXT}},
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {PROBLEM: {"schema": _ref("Problem")}}}
    for status, text in (
        ("4XX", "A refusal; `code` says which."),
        ("5XX", "A failure; some pass after Retry-After."),
    )
}
"""Documented on every route."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with the ledger's shapes and the role of each route."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **SHAPES}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document


def with_role(role: Role) -> dict[str, Any]:
    """The role that a route needs, as OpenAPI documents it."""
    return {"security": [{"token": []}], "x-role": role.name}

"""What OpenAPI says of the answers: the shapes of DESIGN §11, once each."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST as MEDIA_TYPE

from api.http.errors import PROBLEM
from api.security.auth import Role
from ledger.domain.job.view import JOB_FIELDS, Kind

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
INSTANT: Schema = {"type": "string", "format": "date-time"}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def shape(**properties: Schema) -> Schema:
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
    """One documented JSON answer."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def listed(key: str) -> dict[str, Any]:
    """A page of a list."""
    items = list_of(_ref(_ITEMS[key]))
    return answers(shape(**{key: items}, next=or_null(TEXT), position=NUMBER), "One page.")


COMMAND = answers(
    shape(job=_ref("Job"), changed=FLAG, position=NUMBER),
    "The job right after, whether anything changed, and where the book stands.",
)
ONE_JOB = answers(shape(job=_ref("Job")), "The job; its revision is the ETag.")
ONE_STORM = answers(shape(storm=_ref("Storm"), position=NUMBER), "The storm.")
RESUMES = answers(
    shape(resumes=list_of(OBJECT), next=or_null(TEXT), rates=OBJECT, position=NUMBER),
    "One page, and how many of all that fit held.",
)
GAPS = answers(
    shape(
        gaps=list_of(OBJECT),
        open=list_of(OBJECT),
        open_count=NUMBER,
        next=or_null(TEXT),
        position=NUMBER,
    ),
    "One page of recorded gaps; with the first page those that are still open.",
)
BLAME = answers(
    shape(blame=shape(job_id=TEXT, job_name=TEXT, fields=list_of(OBJECT)), position=NUMBER),
    "Each field with its value and the event that gave it.",
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
    "Why, as a code, a sentence and the events that made it so.",
)
ONE_RECOVERY = answers(shape(recovery=_ref("Recovery"), position=NUMBER), "The recovery.")
RECOVERY_CHANGED = answers(
    shape(recovery=_ref("Recovery"), changed=FLAG, position=NUMBER),
    "The recovery right after, whether anything changed, and where it stands in the book.",
)
RECOVERY_REHEARSED = answers(
    shape(plan=OBJECT, position=NUMBER), "What a dry run found; nothing was kept."
)
WHAT_IF = answers(
    shape(what_if=OBJECT, jobs=list_of(OBJECT), next=or_null(TEXT), position=NUMBER),
    "The sums as recorded and as they would have been, and a page of the jobs that differ.",
)
WHAT_IF["content"] |= {"text/csv; charset=utf-8": {"schema": TEXT}}
CLAIMED = answers(
    shape(run=OBJECT, job=_ref("Job"), token=TEXT, position=NUMBER),
    "A run, the job as it stands, and the token with which the run is reported of.",
)
NOTHING_DUE: dict[str, Any] = {"description": "Nothing was due."}
HEARTBEAT = answers(shape(run_id=TEXT, lease_until=INSTANT), "Until when the run lives now.")
PREVIEW = answers(shape(fires=list_of(INSTANT), text=TEXT), "The next fires.")
IMPORTED = answers(
    shape(jobs=list_of(OBJECT), imported=NUMBER, refused=NUMBER, position=NUMBER),
    "Each job in the order given: {origin_id, job} or {origin_id, refusal: {code, detail}}.",
)
SUMMARY = answers(shape(summary=OBJECT, position=NUMBER), "The counts.")
EVIDENCE = answers(shape(ledger_id=TEXT, position=NUMBER, chain=TEXT), "The end of the book.")
TOKEN_MADE = answers(
    shape(token=_ref("Token"), secret=TEXT, changed=FLAG, position=NUMBER),
    "The token; its secret is shown this once.",
)
TOKEN_REVOKED = answers(shape(token=_ref("Token"), changed=FLAG, position=NUMBER), "The token.")
HEALTH = answers(shape(status=TEXT), "How it is.")
DIFF = answers(
    shape(
        **{"from": OBJECT, "to": OBJECT}, jobs=list_of(OBJECT), next=or_null(TEXT), position=NUMBER
    ),
    "The jobs that differ: each made, deleted or changed, with its fields.",
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
    "description": "The text form of Prometheus.",
    "content": {MEDIA_TYPE: {"schema": TEXT}},
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {PROBLEM: {"schema": _ref("Problem")}}}
    for status, text in (("4XX", "A refusal; `code` says which."), ("5XX", "Not now, or not ever."))
}
"""Documented on every route."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with our shapes and the role that each route asks for."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **SHAPES}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document


def with_role(role: Role) -> dict[str, Any]:
    """What a route's operation says of who may call it."""
    return {"security": [{"token": []}], "x-role": role.name}

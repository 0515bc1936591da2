"""Renders the login page and the status page."""

from __future__ import annotations

from heapq import nsmallest
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from api.bootstrap import ServerParts
from ledger.clock import rfc3339
from ledger.errors import Unavailable
from ledger.store.audit_query import AuditQuery
from ledger.store.records import TokenRow
from projections.filters.paging import MAX_PAGE
from projections.models import runs
from projections.models.jobs import queries as job_queries
from projections.models.jobs.queries import JobFilter
from projections.models.storms.members import FailedInStorm, group_by_storm

SHOWN_EVENTS = 20
SHOWN_FAILED = 20
FAILED = JobFilter(status="failed", limit=MAX_PAGE)
SHOWN_DUE = 8
SHOWN_JOBS = 8
ASSETS = {"page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}

_TEMPLATES = Environment(
    loader=PackageLoader("api", "web"), autoescape=True, undefined=StrictUndefined
)


def login_page(problem: str | None = None) -> str:
    """The login page, with the problem of the last attempt."""
    return _TEMPLATES.get_template("login.html").render(problem=problem)


def status_page(parts: ServerParts, token: TokenRow, csrf: str) -> str:
    """The status page for the caller with `token`. Only reads; blocks for milliseconds."""
    storms = _storms(parts)
    in_storms = {str(job.id) for storm in storms for job in storm.jobs}
    with parts.read_models.reading() as reader:
        summary, (found, _) = runs.summary(reader), job_queries.find(reader, FAILED)
    failed = [job for job in found if job["id"] not in in_storms]
    events = parts.ledger.queries.audit(AuditQuery(order="desc", limit=SHOWN_EVENTS)).events
    return _TEMPLATES.get_template("status.html").render(
        token=token,
        csrf=csrf,
        is_sandbox=parts.is_sandbox,
        now=rfc3339(parts.ledger.clock.now().replace(microsecond=0)),
        summary=summary,
        due=_due(parts),
        storms=storms,
        shown_jobs=SHOWN_JOBS,
        failed=failed[:SHOWN_FAILED],
        has_more_failed=len(failed) > SHOWN_FAILED,
        events=events,
        names=_names(parts, events),
        position=parts.ledger.writer.position,
        dispatcher=parts.dispatcher.health() if parts.dispatcher is not None else None,
    )


def asset(name: str) -> tuple[bytes, str]:
    """A file of the pages and its media type. Answers 404 for any other name."""
    if name not in ASSETS:
        raise HTTPException(404)
    return files("api.web").joinpath("static", name).read_bytes(), ASSETS[name]


def _storms(parts: ServerParts) -> list[FailedInStorm]:
    """The storms with failed jobs; none while the read models do not answer."""
    try:
        with parts.read_models.reading() as reader:
            return group_by_storm(
                reader, parts.ledger.job_cache.snapshot(), now=parts.ledger.clock.now()
            )
    except Unavailable:
        return []


def _due(parts: ServerParts) -> list[dict[str, Any]]:
    """The next fires."""
    fires = ((job.next_run_at, job) for job in parts.ledger.job_cache.snapshot())
    waiting = [(at, str(job.id), job.name) for at, job in fires if at is not None and job.may_fire]
    return [
        {"at": rfc3339(at.replace(microsecond=0)), "id": job_id, "name": name}
        for at, job_id, name in nsmallest(SHOWN_DUE, waiting)
    ]


def _names(parts: ServerParts, events: list[dict[str, Any]]) -> dict[str, str]:
    """The names of the jobs of the events, without deleted ones."""
    names = {str(job.id): job.name for job in parts.ledger.job_cache.snapshot()}
    return {event["job_id"]: names.get(event["job_id"], "") for event in events}

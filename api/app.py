"""The web application over a server's parts: every door of it, each with its role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route

from api.bootstrap import ServerParts
from api.http import errors
from api.http import openapi as documents
from api.http.envelope import Envelope
from api.http.limits import BodyLimit
from api.http.wait_for_run import RunWaiters
from api.metrics.exposition import Metrics
from api.metrics.readiness import Readiness
from api.phantom import routes as phantom
from api.routes import (
    commands,
    diff,
    events,
    gaps,
    histories,
    imports,
    jobs,
    metrics,
    page,
    recoveries,
    resumes,
    runs,
    schedules,
    status,
    storms,
    stream,
    tokens,
    what_if,
)
from api.security.access_audit import AccessAudit
from api.security.auth import Role
from api.settings import Settings
from api.stream.answer import HEARTBEAT_SECONDS, MAX_CATCHING_UP
from api.stream.tail import Tail
from ledger.errors import StartRefused

ROUTERS: tuple[APIRouter, ...] = (
    jobs.router,
    commands.router,
    histories.router,
    events.router,
    diff.router,
    runs.router,
    storms.router,
    resumes.router,
    gaps.router,
    recoveries.router,
    what_if.router,
    stream.router,
    schedules.router,
    imports.router,
    tokens.router,
    status.router,
    metrics.router,
    page.router,
    phantom.router,
)
STATUS_ROUTERS: tuple[APIRouter, ...] = (status.router, metrics.router)
"""What a node without an API answers: how it is."""
DOCUMENT = "/v1/openapi.json"
OPEN = frozenset({"/", "/static/{name}", "/login", "/logout", "/healthz", "/readyz", DOCUMENT})
"""The routes that ask for no role. Any other route without one stops the start."""


def create_app(
    parts: ServerParts, settings: Settings, routers: Sequence[APIRouter] = ROUTERS
) -> FastAPI:
    """The application. The server's lifespan starts the parts and, after the last answer, closes
    them; without a server (tests) that is the caller's to do.
    """
    app = FastAPI(
        title="jobledger",
        version=_version(),
        description="An event-sourced job ledger: schedule, fire, fail, trip, force-resume.",
        docs_url=None,
        redoc_url=None,
        openapi_url=DOCUMENT,
        redirect_slashes=False,
        lifespan=_lifespan(parts),
        responses=documents.REFUSALS,
    )
    app.state.parts = parts
    app.state.settings = settings
    app.state.readiness = Readiness(parts)
    app.state.refused_access = AccessAudit(parts.ledger)
    app.state.awaiting = RunWaiters(parts.ledger)
    app.state.tail = Tail(parts.ledger)
    app.state.metrics = Metrics(parts, app.state.tail)
    app.state.stream_readers = CapacityLimiter(MAX_CATCHING_UP)
    app.state.heartbeat_seconds = HEARTBEAT_SECONDS
    errors.install(app)
    app.add_middleware(BodyLimit)
    if parts.tracing is not None:
        from api.tracing.requests import CommandSpans  # OpenTelemetry is imported by who uses it

        app.add_middleware(CommandSpans, spans=parts.tracing.spans)
    app.add_middleware(Envelope)
    app.state.routers = routers
    for router in routers:
        _declare_roles(router)
        app.include_router(router)
    app.state.routes = routes_of(app)
    app.openapi = partial(_document, app)  # type: ignore[method-assign]
    return app


def routes_of(app: FastAPI) -> list[Route]:
    """Every route of an application, the framework's own included."""
    ours = [route for router in app.state.routers for route in router.routes]
    return [route for route in (*app.routes, *ours) if isinstance(route, Route)]


def role_of(route: APIRoute) -> Role | None:
    """The role that a route asks for."""
    asked = (dependency.dependency for dependency in route.dependencies)
    return next((role for role in asked if isinstance(role, Role)), None)


def _declare_roles(router: APIRouter) -> None:
    """Deny by default: refuse to start with a route that forgot its role; document the others."""
    for route in router.routes:
        role = role_of(route) if isinstance(route, APIRoute) else None
        if isinstance(route, APIRoute) and role is not None:
            route.openapi_extra = (route.openapi_extra or {}) | documents.with_role(role)
        elif getattr(route, "path", None) not in OPEN:
            raise StartRefused(f"The route {route} declares no role.")


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = documents.describe(app)
    return app.openapi_schema


def _lifespan(parts: ServerParts) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_sync(parts.start)
        try:
            yield
        finally:
            await run_sync(parts.close)

    return lifespan


def _version() -> str:
    try:
        return version("jobledger")
    except PackageNotFoundError:  # run from the source tree, not installed
        return "0"

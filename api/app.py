"""The web application over a server's parts: every router, and a role for every route."""

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
from api.http import errors, openapi
from api.http.bodies import body_of
from api.http.envelope import Envelope
from api.http.limits import BodyLimit
from api.http.wait_for_run import RunWaiters
from api.metrics.gauges import StateCollector
from api.metrics.histograms import Metrics
from api.metrics.readiness import Readiness
from api.phantom import routes as phantom
from api.phantom.shapes import phantom_refusal
from api.routes import (
    commands,
    events,
    gaps,
    histories,
    imports,
    jobs,
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
from api.security.attempts import Attempts
from api.security.auth import Authenticator, Role
from api.settings import Settings
from api.stream.answer import HEARTBEAT_SECONDS, MAX_CATCHING_UP
from api.stream.tail import Tail
from ledger.errors import StartRefused

ROUTERS: tuple[APIRouter, ...] = (
    jobs.router,
    commands.router,
    histories.router,
    events.router,
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
    page.router,
    phantom.router,
)
STATUS_ROUTERS: tuple[APIRouter, ...] = (status.router,)
"""The routes of a node that serves no API."""
DOCUMENT = "/v1/openapi.json"
OPEN = frozenset({"/", "/static/{name}", "/login", "/logout", "/healthz", "/readyz", DOCUMENT})
"""The routes that need no role. Any other route without one refuses the start."""


def create_app(
    parts: ServerParts, settings: Settings, routers: Sequence[APIRouter] = ROUTERS
) -> FastAPI:
    """The application. Its lifespan starts the parts and closes them after the last answer; without
    a server, as in tests, the caller does both.
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
        responses=openapi.REFUSALS,
    )
    app.state.parts = parts
    app.state.settings = settings
    _set_state(app, parts)
    errors.install(app, {phantom.PREFIX: phantom_refusal})
    app.add_middleware(BodyLimit)
    if parts.tracing is not None:
        from api.tracing.requests import CommandSpans  # slow to import, and rarely used

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
    """Every route of an application, with those of the framework."""
    ours = [route for router in app.state.routers for route in router.routes]
    return [route for route in (*app.routes, *ours) if isinstance(route, Route)]


def role_of(route: APIRoute) -> Role | None:
    """The role that a route needs."""
    declared = (dependency.dependency for dependency in route.dependencies)
    return next((role for role in declared if isinstance(role, Role)), None)


def _set_state(app: FastAPI, parts: ServerParts) -> None:
    ledger, state = parts.ledger, app.state
    state.authenticator = Authenticator(
        parts.tokens, parts.sessions, Attempts(ledger.clock), parts.signer, ledger.clock
    )
    state.access_audit = AccessAudit(ledger)
    state.readiness = Readiness(
        ledger, parts.read_models, parts.dispatcher, parts.recoveries, is_sandbox=parts.is_sandbox
    )
    state.run_waiters = RunWaiters(ledger)
    state.tail = Tail(ledger)
    collector = StateCollector(ledger, parts.read_models, parts.dispatcher, state.tail)
    state.metrics = Metrics(parts.histograms, collector)
    state.stream_readers = CapacityLimiter(MAX_CATCHING_UP)
    state.heartbeat_seconds = HEARTBEAT_SECONDS


def _declare_roles(router: APIRouter) -> None:
    """Deny by default: refuse to start with a route without a role; document the others."""
    for route in router.routes:
        role = role_of(route) if isinstance(route, APIRoute) else None
        if isinstance(route, APIRoute) and role is not None:
            body = route.openapi_extra or body_of(route)
            route.openapi_extra = body | openapi.with_role(role)
        elif getattr(route, "path", None) not in OPEN:
            raise StartRefused(f"The route {route} declares no role.")


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = openapi.describe(app)
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

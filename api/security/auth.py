"""Authentication and authorisation: bearer tokens, cookie sessions, and a role for each route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from api.refusals import Unauthenticated
from api.security.attempts import Attempts
from api.security.sessions import Sessions, is_csrf
from ledger.application.tokens import Tokens
from ledger.clock import Clock
from ledger.dispatch.executors.signing import RunToken, Signer
from ledger.domain.event_context import Actor
from ledger.errors import Forbidden
from ledger.store.records import TokenRow

RANKS = {"worker": 0, "viewer": 1, "operator": 2, "admin": 3}
"""A role may do what every lower role may, except that only workers and admins may claim runs."""
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
COOKIE = "jobledger_session"
HOST_COOKIE = f"__Host-{COOKIE}"
CSRF_HEADER = "X-CSRF-Token"
SOURCE_HEADER = "X-Jobledger-Source"
CLIENT_SOURCES = ("cli", "mcp", "http")
"""The sources that a client may name; requests with a session cookie have the source `ui`."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: its token, and the source that its request came from."""

    token: TokenRow
    source: str

    @property
    def actor(self) -> Actor:
        """The caller as events name it: by its token, never by anything it sends."""
        return Actor(self.token.name, self.token.kind)

    def require(self, role: str) -> None:
        """Refuse Forbidden below a role."""
        if not may(self.token.role, role):
            raise Forbidden(
                f"This needs the role {role}; the token {self.token.name!r} has the role "
                f"{self.token.role}."
            )

    @property
    def may_run_commands(self) -> bool:
        """Whether jobs of this caller may run commands on this machine."""
        return may(self.token.role, "admin")

    def require_may_run(self, executor: object) -> None:
        """Refuse Forbidden when an executor runs commands and the caller is not an admin."""
        if isinstance(executor, Mapping) and executor.get("kind") == "command":
            self.require("admin")


def may(role: str, required: str) -> bool:
    """Whether a role may do what another is required for."""
    if required == "worker":
        return role in ("worker", "admin")
    return RANKS[role] >= RANKS[required]


@dataclass(frozen=True, slots=True)
class Reporter:
    """A caller with the token of one run, which lets it report on that run only."""

    token: RunToken
    source: str

    @property
    def actor(self) -> Actor:
        """The worker that claimed the run, or the target that it was sent to."""
        return self.token.actor


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Finds out who sends a request."""

    tokens: Tokens
    sessions: Sessions
    attempts: Attempts
    signer: Signer
    clock: Clock

    def principal(self, request: Request) -> Principal:
        """The caller. Refuses Unauthenticated, TooManyAttempts, and Forbidden for a change with a
        session cookie but without its CSRF token.
        """
        if "authorization" in request.headers:
            return Principal(self._bearer(request), _source(request))
        token = self.session_token(request)
        if token is None:
            raise Unauthenticated("Authentication required: send `Authorization: Bearer jl_…`.")
        csrf = request.headers.get(CSRF_HEADER, "")
        if request.method in CHANGING and not is_csrf(csrf, session_of(request)):
            raise Forbidden(f"A change with a session cookie needs the header {CSRF_HEADER}.")
        return Principal(token, "ui")

    def reporter(self, request: Request, run_id: str) -> Reporter:
        """The holder of the token of run `run_id`. Refuses Forbidden for any other valid token."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        token = self.signer.read_run_token(secret.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            self.principal(request)
            raise Forbidden("Reporting on a run needs the token that came with the run (jlr_…).")
        if token.run_id != run_id:
            raise Forbidden(f"This token belongs to run {token.run_id}, not to this one.")
        return Reporter(token, _source(request))

    def session_token(self, request: Request) -> TokenRow | None:
        """The valid token behind the request's session cookie."""
        token_id = self.sessions.token_of(session_of(request))
        return self.tokens.alive(token_id, self.clock.now()) if token_id else None

    def count_failure(self, request: Request) -> None:
        """Count an invalid token or login code of this address. Refuses TooManyAttempts."""
        self.attempts.failed(request.client.host if request.client else "unknown")

    def _bearer(self, request: Request) -> TokenRow:
        scheme, _, secret = request.headers["authorization"].partition(" ")
        row = self.tokens.authenticate(secret.strip(), self.clock.now())
        if scheme.lower() != "bearer" or row is None:
            self.count_failure(request)
            raise Unauthenticated(
                "The token is unknown, expired or revoked: ask an admin for one "
                "(jobledger token create)."
            )
        return row


@dataclass(frozen=True, slots=True)
class Role:
    """A dependency that refuses callers below a role."""

    name: str

    async def __call__(self, request: Request) -> None:
        request.state.caller = caller = authenticator_of(request).principal(request)
        caller.require(self.name)


class RunHolder(Role):
    """A dependency that refuses callers without the token of the run that the path names."""

    async def __call__(self, request: Request, run_id: str = "") -> None:
        request.state.caller = authenticator_of(request).reporter(request, run_id)


def requires(role: str) -> Dependency:
    """Declare the lowest role that may call a route."""
    dependency: Dependency = Depends(Role(role))
    return dependency


def requires_run() -> Dependency:
    """Declare that a route needs the token of the run in its path."""
    dependency: Dependency = Depends(RunHolder("run"))
    return dependency


def authenticator_of(request: Request) -> Authenticator:
    """The application's authenticator."""
    authenticator: Authenticator = request.app.state.authenticator
    return authenticator


async def caller_of(request: Request) -> Principal:
    """The caller that the route's role check let in."""
    caller: Principal = request.state.caller
    return caller


async def reporter_of(request: Request) -> Reporter:
    """The caller that the route's check of the run's token let in."""
    reporter: Reporter = request.state.caller
    return reporter


def principal_of(request: Request) -> Principal | Reporter:
    """The caller that either check let in."""
    principal: Principal | Reporter = request.state.caller
    return principal


UsesCaller = Annotated[Principal, Depends(caller_of)]
UsesReporter = Annotated[Reporter, Depends(reporter_of)]


def session_of(request: Request) -> str:
    """The secret in the session cookie, or an empty text."""
    return request.cookies.get(cookie_name(request), "")


def cookie_name(request: Request) -> str:
    """The name of the session cookie: under TLS, `__Host-` has browsers bind it to this host."""
    return HOST_COOKIE if request.scope["scheme"] == "https" else COOKIE


def _source(request: Request) -> str:
    given = request.headers.get(SOURCE_HEADER, "")
    return given if given in CLIENT_SOURCES else "http"

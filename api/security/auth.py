"""Who asks, and whether they may: bearer tokens and cookie sessions, roles declared per route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency

from api.http.errors import Unauthenticated
from api.http.limits import Attempts
from api.security.sessions import Sessions, is_csrf
from ledger.application.batch import Command
from ledger.application.commands.jobs import CommandResult
from ledger.application.ledger import Ledger
from ledger.application.tokens import Tokens
from ledger.application.unit_of_work import UnitOfWork
from ledger.dispatch.executors.signing import RunToken, Signer
from ledger.domain.metadata import Actor
from ledger.errors import Forbidden
from ledger.store.records import TokenRow

RANKS = {"worker": 0, "viewer": 1, "operator": 2, "admin": 3}
"""A role may do what those of lower rank may; a worker none of what people do."""
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
COOKIE = "jobledger_session"
HOST_COOKIE = f"__Host-{COOKIE}"
CSRF_HEADER = "X-CSRF-Token"
SOURCE_HEADER = "X-Jobledger-Source"
TOLD_SOURCES = ("cli", "mcp", "http")
"""What a client may say of itself; `ui` is what comes with a session's cookie."""


class AuthParts(Protocol):
    """The parts of a server that know who may come in."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def attempts(self) -> Attempts: ...
    @property
    def signer(self) -> Signer: ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Someone known: their token, and the door they came through."""

    token: TokenRow
    source: str

    @property
    def actor(self) -> Actor:
        """How the audit names them: by their token, never by anything they send."""
        return Actor(self.token.name, self.token.kind)

    def require(self, role: str) -> None:
        """Refuse Forbidden below a role."""
        if not may(self.token.role, role):
            raise Forbidden(
                f"This needs the role {role}; the token {self.token.name!r} is {self.token.role}."
            )

    def require_may_run(self, executor: object) -> None:
        """Refuse Forbidden when an executor runs commands on this machine and they are no admin."""
        if isinstance(executor, Mapping) and executor.get("kind") == "command":
            self.require("admin")


def may(held: str, asked: str) -> bool:
    """Whether a role reaches another. Taking runs out of queues is for workers, and for admins."""
    if asked == "worker":
        return held in ("worker", "admin")
    return RANKS[held] >= RANKS[asked]


@dataclass(frozen=True, slots=True)
class Reporter:
    """Someone who holds a run's token, and so may report of that run."""

    token: RunToken
    source: str

    @property
    def actor(self) -> Actor:
        """The worker that claimed the run, or the target that it was sent to."""
        return self.token.actor


@dataclass(frozen=True, slots=True)
class Role:
    """A dependency that lets nobody pass below a role."""

    name: str

    async def __call__(self, request: Request) -> None:
        request.state.caller = caller = authenticate(request)
        caller.require(self.name)


class RunHolder(Role):
    """A dependency that lets only those pass who hold the token of the run that the path names."""

    async def __call__(self, request: Request, run_id: str = "") -> None:
        parts: AuthParts = request.app.state.parts
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        token = parts.signer.read_run_token(secret.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            authenticate(request)
            raise Forbidden("A report of a run needs the token that came with the run (jlr_…).")
        if token.run_id != run_id:
            raise Forbidden(f"This token is that of run {token.run_id}, not of this one.")
        request.state.caller = Reporter(token, _told_source(request))


def requires_run() -> Dependency:
    """What a route declares that takes reports of runs."""
    dependency: Dependency = Depends(RunHolder("run"))
    return dependency


def requires(role: str) -> Dependency:
    """What a route declares: the lowest role that may call it."""
    dependency: Dependency = Depends(Role(role))
    return dependency


def caller_of(request: Request) -> Principal:
    """Whom the route's role check let in."""
    caller: Principal = request.state.caller
    return caller


def principal_of(request: Request) -> Principal | Reporter:
    """Whoever was let in: how the audit names them stands in `actor`."""
    asker: Principal | Reporter = request.state.caller
    return asker


def reporter_of(request: Request) -> Reporter:
    """The holder of the run's token."""
    reporter: Reporter = request.state.caller
    return reporter


UsesCaller = Annotated[Principal, Depends(caller_of)]
UsesReporter = Annotated[Reporter, Depends(reporter_of)]


def authenticate(request: Request) -> Principal:
    """Who asks. Refuses Unauthenticated, TooManyAttempts, and a cookie without its CSRF word."""
    parts: AuthParts = request.app.state.parts
    if "authorization" in request.headers:
        return Principal(_bearer(request, parts), _told_source(request))
    secret = session_of(request)
    token = session_token(secret, parts)
    if token is None:
        raise Unauthenticated("Nobody is known here without a header Authorization: Bearer jl_….")
    if request.method in CHANGING and not is_csrf(request.headers.get(CSRF_HEADER, ""), secret):
        raise Forbidden(f"A change with a session's cookie needs its {CSRF_HEADER} header.")
    return Principal(token, "ui")


def session_of(request: Request) -> str:
    """The secret in the session's cookie, or nothing."""
    return request.cookies.get(cookie_name(request), "")


def session_token(secret: str, parts: AuthParts) -> TokenRow | None:
    """The living token behind a session's secret."""
    token_id = parts.sessions.token_of(secret)
    return parts.tokens.alive(token_id, parts.ledger.clock.now()) if token_id else None


def cookie_name(request: Request) -> str:
    """The cookie's name: under TLS browsers tie `__Host-` to this very host."""
    return HOST_COOKIE if request.scope["scheme"] == "https" else COOKIE


def count_wrong_secret(request: Request, parts: AuthParts) -> None:
    """Remember that this address showed a secret that opens nothing."""
    parts.attempts.failed(request.client.host if request.client else "unknown")


def guarded(
    command: Command[CommandResult], job_id: UUID, caller: Principal
) -> Command[CommandResult]:
    """A change of a job that only admins may make while the job runs a command."""

    def decide(unit: UnitOfWork) -> CommandResult:
        caller.require_may_run(unit.job(job_id).executor)
        return command(unit)

    return decide


def _bearer(request: Request, parts: AuthParts) -> TokenRow:
    scheme, _, secret = request.headers["authorization"].partition(" ")
    row = parts.tokens.authenticate(secret.strip(), parts.ledger.clock.now())
    if scheme.lower() != "bearer" or row is None:
        count_wrong_secret(request, parts)
        raise Unauthenticated(
            "The token is unknown, expired or revoked: ask an admin for one (jobledger token)."
        )
    return row


def _told_source(request: Request) -> str:
    told = request.headers.get(SOURCE_HEADER, "")
    return told if told in TOLD_SOURCES else "http"

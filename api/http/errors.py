"""Answers refusals as RFC 9457 problem+json, or as the renderer of a path prefix does; one table
gives each refusal its status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import orjson
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ExceptionHandler, Scope

from api.http.force_hint import with_track_record
from api.refusals import (
    MalformedJson,
    RunUnfinished,
    TooManyAttempts,
    Unauthenticated,
    WordsNotUnderstood,
)
from ledger.errors import (
    Conflict,
    Forbidden,
    ForceRequired,
    Invalid,
    InvalidField,
    JobLimit,
    LedgerError,
    NotFound,
    Refused,
    StorageFull,
    TooLarge,
    Unavailable,
    UnknownField,
)

PROBLEM = "application/problem+json"
LONGEST_TEXT = 1000
"""Characters of a message or fact that an answer shows; callers may send longer ones."""
RETRY_SECONDS = 60

Renderer = Callable[[int, str, str, Mapping[str, str]], Response]
"""Makes an answer of a status, a code, a detail and headers."""


STATUSES: Mapping[type[LedgerError], int] = {
    MalformedJson: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Refused: 409,
    Conflict: 412,
    TooLarge: 413,
    Invalid: 422,
    WordsNotUnderstood: 422,
    JobLimit: 429,
    TooManyAttempts: 429,
    LedgerError: 500,
    Unavailable: 503,
    RunUnfinished: 504,
    StorageFull: 507,
}
"""The status of each family of refusals; the nearest class of an error decides."""

CODES: Mapping[int, str] = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    500: "internal_error",
}
"""The codes of errors that the web framework raises."""

NOT_AN_OBJECT = ("model_type", "model_attributes_type")
"""Types of pydantic errors whose messages name one of our classes."""


def status_of(error: LedgerError) -> int:
    """The HTTP status of a refusal."""
    return next(STATUSES[family] for family in type(error).__mro__ if family in STATUSES)


def problem(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    facts: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error answer to the request of `scope`: `code` is for programs, `detail` for people."""
    render = _renderer(scope)
    if render is not None:
        return render(status, code, detail[:LONGEST_TEXT], headers or {})
    body = {name: _plain(value) for name, value in (facts or {}).items()} | {
        "type": f"urn:jobledger:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail[:LONGEST_TEXT],
        "code": code,
    }
    return Response(orjson.dumps(body), status, dict(headers or {}), PROBLEM)


def refused(scope: Scope, error: LedgerError) -> Response:
    """The answer to a request that was refused."""
    status = status_of(error)
    headers = _headers(error, status)
    return problem(scope, status, error.code, error.message, error.facts, headers)


def install(app: FastAPI, renderers: Mapping[str, Renderer]) -> None:
    """Answer every error of `app` as a problem, and below a path prefix as its renderer does."""
    app.state.renderers = renderers
    app.add_exception_handler(LedgerError, cast(ExceptionHandler, _answer_refusal))
    app.add_exception_handler(RequestValidationError, cast(ExceptionHandler, _answer_validation))
    app.add_exception_handler(HTTPException, cast(ExceptionHandler, _answer_http))


def refusal_of(errors: Sequence[Mapping[str, Any]], *, skipped: int = 0) -> Invalid:
    """The first of pydantic's errors as a refusal. `skipped` drops the first parts of its path."""
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"][skipped:]) or "body"
    if first["type"] == "extra_forbidden":
        return UnknownField(field[:LONGEST_TEXT])
    if first["type"] in NOT_AN_OBJECT:
        return InvalidField(field, "must be an object")
    message = str(first["msg"]).removeprefix("Value error, ")
    return InvalidField(field, message[:1].lower() + message[1:])


async def _answer_refusal(request: Request, error: LedgerError) -> Response:
    if isinstance(error, ForceRequired):
        parts = request.app.state.parts
        error = await run_sync(
            with_track_record, error, parts.read_models, parts.ledger.clock.now()
        )
    if isinstance(error, Forbidden):
        request.app.state.access_audit.note(request, error)
    return refused(request.scope, error)


async def _answer_validation(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    parameter = {**first, "loc": first["loc"][:2]}  # without the index into repeated values
    return refused(request.scope, refusal_of([parameter], skipped=1))


async def _answer_http(request: Request, error: HTTPException) -> Response:
    code = CODES.get(error.status_code, f"http_{error.status_code}")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
    detail = _detail(error, headers)
    return problem(request.scope, error.status_code, code, detail, headers=headers)


def _detail(error: HTTPException, headers: Mapping[str, str]) -> str:
    match error.status_code:
        case 404:
            return "Nothing is at this path; GET /v1/openapi.json lists all paths."
        case 405:
            return f"This path accepts only {headers['Allow']}."
        case _:
            return str(error.detail)


def _renderer(scope: Scope) -> Renderer | None:
    renderers: Mapping[str, Renderer] = scope["app"].state.renderers
    path = f"{scope['path']}/"
    return next((one for prefix, one in renderers.items() if path.startswith(f"{prefix}/")), None)


def _allowed(request: Request) -> list[str]:
    """The methods of all routes with this path; the framework only names those of the first."""
    routes: Sequence[Route] = request.app.state.routes
    matching = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in matching for method in route.methods or ()})


def _headers(error: LedgerError, status: int) -> dict[str, str]:
    if isinstance(error, Unavailable):
        return {"Retry-After": str(error.retry_after_seconds)}
    if status == 429:
        return {"Retry-After": str(RETRY_SECONDS)}
    return {"WWW-Authenticate": "Bearer"} if status == 401 else {}


def _plain(value: object) -> object:
    """A fact as a JSON value."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:LONGEST_TEXT]

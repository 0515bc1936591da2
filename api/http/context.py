"""The context of a request: sends commands and queries to the ledger, and makes the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar, cast
from uuid import UUID

import orjson
from anyio.to_thread import run_sync
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.bootstrap import ServerParts
from api.http.command_context import command_context
from api.http.errors import LONGEST_TEXT
from api.http.idempotency import first_answer
from api.security.auth import principal_of
from ledger.application.batch import Command
from ledger.application.commands.jobs import CommandContext, CommandResult
from ledger.application.ledger import Ledger
from ledger.domain.job.job import job_id_of
from ledger.domain.metadata import Actor
from ledger.errors import InvalidField, UnknownField
from projections.queries import Queries

REPEATABLE = frozenset({"topic"})
"""The query parameters that may be given several times."""

T = TypeVar("T")
Given = ParamSpec("Given")


class RequestContext:
    """What a route needs of its request and of the ledger."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.parts: ServerParts = request.app.state.parts
        self.ledger: Ledger = self.parts.ledger
        self.queries: Queries = self.parts.queries

    async def call(self, reason: str | None = None) -> CommandContext:
        """The actor, time, reason and conditions of a command."""
        return await command_context(self.request, self.ledger.clock, reason)

    @property
    def actor(self) -> Actor:
        """The authenticated caller."""
        return principal_of(self.request).actor

    async def command(
        self, make: Callable[[], Command[CommandResult]], call: CommandContext, *, status: int = 200
    ) -> Response:
        """Execute a command and answer it (see `decide`)."""
        return answered(await self.decide(make, call), status)

    async def decide(
        self, make: Callable[[], Command[CommandResult]], call: CommandContext
    ) -> CommandResult:
        """Execute a command. `make` may be slow and runs in a thread. A repeated key gets the first
        answer again.
        """
        answer = await self.repeated(call)
        if answer is None:
            answer = await decided(self.ledger, await run_sync(make))
        if answer.repeats:
            answer = await self.repeated(call) or answer
        return answer

    async def ask(
        self, question: Callable[Given, T], *given: Given.args, **more: Given.kwargs
    ) -> T:
        """Answer a question in a thread."""
        return await run_sync(partial(question, *given, **more))

    def position(self) -> int:
        """The last position of the ledger."""
        return self.ledger.writer.position

    async def repeated(self, call: CommandContext) -> CommandResult | None:
        """The first answer to this call's idempotency key, or None."""
        if call.idempotency is None:
            return None
        return await run_sync(first_answer, self.ledger, call.idempotency)


def request_context(request: Request) -> RequestContext:
    """The request's context. Refuses undeclared and repeated query parameters."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if given and not _takes_query(request):
        raise UnknownField(next(iter(given))[:LONGEST_TEXT])
    for name, count in given.items():
        if count > 1 and name not in REPEATABLE:
            raise InvalidField(name[:LONGEST_TEXT], "may be given only once")
    return RequestContext(request)


def _takes_query(request: Request) -> bool:
    """Whether the route declares parameters, and so refuses unknown ones itself. Phantom's routes
    ignore unknown parameters, as Phantom does.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.path.startswith("/v1/"):
        return True
    return bool(route.dependant.query_params)


InContext = Annotated[RequestContext, Depends(request_context)]


def job_id_in_path(job_id: str) -> UUID:
    """The id of the job in the path. Refuses JobNotFound for a text that is not an id."""
    return job_id_of(job_id)


JobId = Annotated[UUID, Depends(job_id_in_path)]


async def decided(ledger: Ledger, command: Command[T]) -> T:
    """The answer to a command; raises its error.

    Shielded, because a client that disconnects must not cancel the future that the writer sets.
    """
    [result] = await all_decided(ledger, [command])
    if isinstance(result, BaseException):
        raise result
    return cast(T, result)


async def all_decided(ledger: Ledger, commands: Sequence[Command[Any]]) -> list[Any]:
    """The answer or error of each command; they are submitted together."""
    if not commands:
        return []
    return await asyncio.shield(asyncio.wrap_future(ledger.submit(commands)))


def answered(answer: CommandResult, status: int = 200) -> Response:
    """A command's answer: the job, whether anything changed, and the position."""
    job = cast(dict[str, Any], answer.job)  # None only before a repeat was rendered
    body = {"job": job, "changed": answer.changed, "position": answer.position}
    headers = {"ETag": _tag(job)}
    if status == 201:
        headers["Location"] = f"/v1/jobs/{answer.job_id}"
    return plain(body, status, headers)


def one_job(job: Mapping[str, Any]) -> Response:
    """One job, with its revision as the ETag, which `If-Match` takes."""
    return plain({"job": job}, headers={"ETag": _tag(job)})


def plain(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(content), status, dict(headers or {}), "application/json")


def _tag(job: Mapping[str, Any]) -> str:
    return f'"{job["revision"]}"'

"""The context of a request: executes commands and queries, and makes the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar, cast
from uuid import UUID

import orjson
from anyio.to_thread import run_sync
from fastapi import Depends, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.bootstrap import ServerParts
from api.http.command_context import command_context
from api.http.errors import LONGEST_TEXT
from api.schemas.queries import PageQuery, TimedQuery
from api.security.auth import principal_of
from ledger.application.command_context import CommandContext
from ledger.application.commands.command import Command, CommandResult, JobCommand
from ledger.application.ledger import Ledger, value_of
from ledger.application.unit_of_work import AlreadyAnswered
from ledger.domain.event_context import Actor
from ledger.domain.job.job import job_id_of
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

    async def command_context(self, reason: str | None = None) -> CommandContext:
        """The actor, time, reason, expected revision and idempotency key of a command."""
        return await command_context(self.request, self.ledger, reason)

    @property
    def actor(self) -> Actor:
        """The authenticated caller."""
        return principal_of(self.request).actor

    async def answer(self, command: JobCommand) -> Response:
        """Execute a command on a job and answer with its HTTP status."""
        return answered(await self.execute(command), command.status)

    async def execute(self, command: Command[T]) -> T:
        """Execute a command; a repeated key gets the first answer again. Raises its refusal.

        A command that begins slowly does so in a thread. The future is shielded, because a client
        that disconnects must not cancel what the writer sets.
        """
        while True:
            begun = (
                self.ledger.begin(command)
                if command.begins_at_once()
                else await run_sync(self.ledger.begin, command)
            )
            if not isinstance(begun, Future):
                return begun
            [result] = await asyncio.shield(asyncio.wrap_future(begun))
            if not isinstance(result, AlreadyAnswered):
                return cast(T, value_of(result))

    async def ask(
        self, question: Callable[Given, T], *given: Given.args, **more: Given.kwargs
    ) -> T:
        """Answer a question in a thread."""
        return await run_sync(partial(question, *given, **more))

    async def look_up(
        self, question: Callable[Given, T], *given: Given.args, **when: Given.kwargs
    ) -> T:
        """Answer a question about one row. Where that takes less time than the way to a thread and
        back, it is answered here: of now, and from a file of this machine.
        """
        if self.parts.read_models.is_local and not any(when.values()):
            return question(*given, **when)
        return await self.ask(question, *given, **when)

    def position(self) -> int:
        """The last position of the ledger."""
        return self.ledger.writer.position


async def request_context(request: Request) -> RequestContext:
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


async def job_id_in_path(job_id: str) -> UUID:
    """The id of the job in the path. Refuses JobNotFound for a text that is not an id."""
    return job_id_of(job_id)


JobId = Annotated[UUID, Depends(job_id_in_path)]
GivenTime = Annotated[TimedQuery, Query()]
GivenPage = Annotated[PageQuery, Query()]


def answered(answer: CommandResult, status: int = 200) -> Response:
    """A command's answer: the job, whether anything changed, and the position."""
    body = {"job": answer.job, "changed": answer.changed, "position": answer.position}
    headers = {"ETag": _tag(answer.job)}
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

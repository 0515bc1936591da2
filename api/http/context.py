"""The one way from a request to the ledger and back: commands out, questions out, answers in."""

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
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.bootstrap import ServerParts
from api.http.command_context import command_context
from api.http.errors import LONGEST_TEXT
from api.security.auth import principal_of
from ledger.application.commands.command import Command, CommandResult, JobCommand
from ledger.application.commands.context import CommandContext
from ledger.application.ledger import Ledger, value_of
from ledger.application.unit_of_work import AlreadyAnswered
from ledger.domain.job.job import job_id_of
from ledger.domain.metadata import Actor
from ledger.errors import InvalidField, UnknownField
from projections.queries import Queries

REPEATABLE = frozenset({"topic"})
"""The only parameters of a query that may be given several times."""

T = TypeVar("T")
Given = ParamSpec("Given")


class RequestContext:
    """One request's way to the ledger."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.parts: ServerParts = request.app.state.parts
        self.ledger: Ledger = self.parts.ledger
        self.answers: Queries = self.parts.answers

    async def command_context(self, reason: str | None = None) -> CommandContext:
        """Who asks, when, why, and under which conditions."""
        return await command_context(self.request, self.ledger.clock, reason)

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return principal_of(self.request).actor

    async def answer(self, command: JobCommand) -> Response:
        """Execute a command on a job and render its answer with the command's status."""
        return answered(await self.execute(command), command.status)

    async def execute(self, command: Command[T]) -> T:
        """Have a command decided and appended. A repeated key is answered as it was the first time.

        Preparing may be slow: it runs in a thread. The future is shielded: a client that goes away
        must not cancel what the writer is about to set.
        """
        while True:
            begun = await run_sync(self.ledger.begin, command)
            if not isinstance(begun, Future):
                return begun
            [result] = await asyncio.shield(asyncio.wrap_future(begun))
            if not isinstance(result, AlreadyAnswered):
                return cast(T, value_of(result))

    async def ask(
        self, question: Callable[Given, T], *given: Given.args, **more: Given.kwargs
    ) -> T:
        """Have a question answered, in a thread; it refuses what it refuses."""
        return await run_sync(partial(question, *given, **more))

    def position(self) -> int:
        """Where the book ends."""
        return self.ledger.writer.position


def request_context(request: Request) -> RequestContext:
    """The request's way in. Refuses InvalidField when a parameter's value is not plain to see."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if given and not _takes_query(request):
        raise UnknownField(next(iter(given))[:LONGEST_TEXT])
    for name, count in given.items():
        if count > 1 and name not in REPEATABLE:
            raise InvalidField(name[:LONGEST_TEXT], "may be given only once")
    return RequestContext(request)


def _takes_query(request: Request) -> bool:
    """Whether the address has parameters: then it refuses unknown ones by itself. Phantom's routes
    are as lenient as Phantom.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.path.startswith("/v1/"):
        return True
    return bool(route.dependant.query_params)


InContext = Annotated[RequestContext, Depends(request_context)]


def job_id_in_path(job_id: str) -> UUID:
    """The job that the path names; JobNotFound for what is no id."""
    return job_id_of(job_id)


JobId = Annotated[UUID, Depends(job_id_in_path)]


def answered(answer: CommandResult, status: int = 200) -> Response:
    """A command's answer: the job, whether anything changed, where the book stands."""
    body = {"job": answer.job, "changed": answer.changed, "position": answer.position}
    headers = {"ETag": _tag(answer.job)}
    if status == 201:
        headers["Location"] = f"/v1/jobs/{answer.job_id}"
    return plain(body, status, headers)


def one_job(job: Mapping[str, Any]) -> Response:
    """One job, with its revision as the tag that `If-Match` wants."""
    return plain({"job": job}, headers={"ETag": _tag(job)})


def plain(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON-plain values as JSON."""
    return Response(orjson.dumps(content), status, dict(headers or {}), "application/json")


def _tag(job: Mapping[str, Any]) -> str:
    return f'"{job["revision"]}"'

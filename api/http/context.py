"""The one way from a request to the ledger and back: commands out, questions out, answers in."""

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
"""The only parameters of a query that may be given several times."""

T = TypeVar("T")
Given = ParamSpec("Given")


class RequestContext:
    """One request's way to the ledger."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.parts: ServerParts = request.app.state.parts
        self.ledger: Ledger = self.parts.ledger
        self.queries: Queries = self.parts.queries

    async def call(self, reason: str | None = None) -> CommandContext:
        """Who asks, when, why, and under which conditions."""
        return await command_context(self.request, self.ledger.clock, reason)

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return principal_of(self.request).actor

    async def command(
        self, make: Callable[[], Command[CommandResult]], call: CommandContext, *, status: int = 200
    ) -> Response:
        """Have a command decided and kept, and answer it (see `decide`)."""
        return answered(await self.decide(make, call), status)

    async def decide(
        self, make: Callable[[], Command[CommandResult]], call: CommandContext
    ) -> CommandResult:
        """Have a command decided and kept. `make` may be slow: it runs in a thread.

        A repeated key is answered as it was the first time.
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
        """Have a question answered, in a thread; it refuses what it refuses."""
        return await run_sync(partial(question, *given, **more))

    def position(self) -> int:
        """Where the book ends."""
        return self.ledger.writer.position

    async def repeated(self, call: CommandContext) -> CommandResult | None:
        """What this call's idempotency key was answered before, or None."""
        if call.idempotency is None:
            return None
        return await run_sync(first_answer, self.ledger, call.idempotency)


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


async def decided(ledger: Ledger, command: Command[T]) -> T:
    """The answer to a command, raised if it is an error.

    Shielded: a caller who goes away must not cancel the future that the writer is about to set.
    """
    [result] = await all_decided(ledger, [command])
    if isinstance(result, BaseException):
        raise result
    return cast(T, result)


async def all_decided(ledger: Ledger, commands: Sequence[Command[Any]]) -> list[Any]:
    """For each command its answer, or the error it met; they are submitted together."""
    if not commands:
        return []
    return await asyncio.shield(asyncio.wrap_future(ledger.submit(commands)))


def answered(answer: CommandResult, status: int = 200) -> Response:
    """A command's answer: the job, whether anything changed, where the book stands."""
    job = cast(dict[str, Any], answer.job)  # None only before a repeat was rendered
    body = {"job": job, "changed": answer.changed, "position": answer.position}
    headers = {"ETag": _tag(job)}
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

"""The one way from a request to the ledger and back: commands out, answers in, copies that have
caught up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

import orjson
from anyio.to_thread import run_sync
from fastapi import Depends, Request
from starlette.responses import Response

from api.auth import asker_of
from api.bootstrap import Parts
from api.conditions import call_of
from api.errors import LONGEST_TEXT
from api.queries import TimedQuery
from api.repeats import first_answer
from ledger.domain.job import job_id_of
from ledger.domain.origin import Actor
from ledger.errors import InvalidField
from ledger.store.application import Ledger
from ledger.store.commands import Answer, Call
from ledger.store.deciding import Command
from ledger.store.query import DISPATCHER, AuditQuery
from projections.past import Moment

REPEATABLE = frozenset({"topic"})
"""The only parameters of a query that may be given several times."""

T = TypeVar("T")


class Door:
    """One request's way to the ledger."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.parts: Parts = request.app.state.parts
        self.ledger: Ledger = self.parts.ledger

    async def call(self, reason: str | None = None) -> Call:
        """Who asks, when, why, and under which conditions."""
        return await call_of(self.request, self.ledger.clock, reason)

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return asker_of(self.request).actor

    async def command(
        self, make: Callable[[], Command[Answer]], call: Call, *, status: int = 200
    ) -> Response:
        """Have a command decided and kept, and answer it (see `decide`)."""
        return answered(await self.decide(make, call), status)

    async def decide(self, make: Callable[[], Command[Answer]], call: Call) -> Answer:
        """Have a command decided and kept. `make` may be slow: it runs in a thread.

        A repeated key is answered as it was the first time.
        """
        answer = await self.repeated(call)
        if answer is None:
            answer = await decided(self.ledger, await run_sync(make))
        if answer.repeats:
            answer = await self.repeated(call) or answer
        return answer

    async def read(
        self,
        question: Callable[[], T],
        *,
        needs: Collection[str],
        after_position: int | None = None,
    ) -> T:
        """Ask copies, once those that the question needs have what this process answered last.
        Refuses Behind.
        """
        return await run_sync(self._ask, question, self._wanted(after_position), needs)

    def position(self, after_position: int | None = None) -> int:
        """Where the book stands; for questions that the book itself answers."""
        self._wanted(after_position)
        return self.ledger.writer.position

    async def past(self, as_of: int | datetime, name: str = "as_of") -> int:
        """The position that `as_of` means (`name` is what it was given as). Refuses InvalidField
        when that is still to come.
        """
        if isinstance(as_of, datetime):
            if as_of > self.ledger.clock.now():
                raise InvalidField(name, "is in the future: what will be is not known")
            return await run_sync(self.ledger.reading.position_at, as_of)
        end = self.ledger.writer.position
        if as_of > end:
            raise InvalidField(name, f"is beyond the end of the book, which is {end}")
        return as_of

    async def moment(self, as_of: int | datetime, name: str = "as_of") -> Moment:
        """What `as_of` means for questions to the copies. Refuses as `past`."""
        position = await self.past(as_of, name)
        if isinstance(as_of, datetime):
            return Moment(position, as_of)
        return Moment(position, await run_sync(self.ledger.reading.recorded_at, position))

    async def require_actor(self, name: str | None) -> None:
        """Refuse InvalidField for a name that nobody has: a mistyped one must not look innocent."""
        if name is None or any(token.name == name for token in self.parts.tokens.listing()):
            return
        query = AuditQuery(actor=name, limit=1)
        if name != DISPATCHER and not await run_sync(self.ledger.book.find, query):
            raise InvalidField("actor", "is nobody who has done anything here, and no token's name")

    async def ask(
        self, query: TimedQuery, question: Callable[..., T], *, needs: Collection[str]
    ) -> tuple[T, int]:
        """Ask copies how things are, or how they stood at the query's `as_of`, and tell which
        position that is. `question` takes `as_of`. Refuses Behind.
        """
        position = self.position(query.after_position)
        as_of = None if query.as_of is None else await self.moment(query.as_of)
        wanted = query.after_position if as_of is None else as_of.position
        found = await self.read(partial(question, as_of=as_of), needs=needs, after_position=wanted)
        return found, position if as_of is None else as_of.position

    async def repeated(self, call: Call) -> Answer | None:
        """What this call's idempotency key was answered before, or None."""
        if call.idempotency is None:
            return None
        return await run_sync(first_answer, self.ledger, call.idempotency)

    def _ask(self, question: Callable[[], T], position: int, needs: Collection[str]) -> T:
        self.parts.copies.wait_for(position, needs=needs)
        return question()

    def _wanted(self, after_position: int | None) -> int:
        end = self.ledger.writer.position
        if after_position is not None and after_position > end:
            raise InvalidField("after_position", f"is beyond the end of the book, which is {end}")
        return end if after_position is None else after_position


def door_of(request: Request) -> Door:
    """The request's way in. Refuses InvalidField when a parameter's value is not plain to see."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in given.items():
        if count > 1 and name not in REPEATABLE:
            raise InvalidField(name[:LONGEST_TEXT], "may be given only once")
    return Door(request)


UsesDoor = Annotated[Door, Depends(door_of)]


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


def answered(answer: Answer, status: int = 200) -> Response:
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

"""Whether the ledger can do its work, and what is wrong if it cannot do all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from anyio.to_thread import run_sync

from api.bootstrap import ServerParts
from ledger.application.commands.jobs import CheckWriter
from ledger.clock import MAX_SKEW
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.errors import LedgerError, Unavailable
from ledger.maintenance.doctor import ghosts

PROBE_SECONDS = 2.0
LATE_SECONDS = 10.0
"""How long a copy may take to what the book had before that is named."""
KEPT_SECONDS = 1.0
"""How long an answer is given again: anybody may ask, and an answer looks at every job."""
MAX_GHOSTS = 100
"""Ghosts named; a ledger that has more is ill enough."""

Told = dict[str, Any]


class Readiness:
    """Answers how one server is. Remembers its last answer for a moment, and since when copies are
    behind.
    """

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._elapsed = parts.ledger.clock.elapsed
        self._late = Lateness()
        self._looking = asyncio.Lock()
        self._kept: tuple[float, Told | Unavailable] | None = None

    async def answer(self) -> Told:
        """`ready`, or `degraded` with what is wrong. Refuses Unavailable when no command is
        answered.

        This is open to anybody, so it tells ids and positions, never names or texts of jobs.
        """
        async with self._looking:
            if self._kept is None or self._elapsed() - self._kept[0] >= KEPT_SECONDS:
                found = await self._found()
                self._kept = self._elapsed(), found
        answer = self._kept[1]
        if isinstance(answer, Unavailable):
            raise answer.with_traceback(None)
        return answer

    async def _found(self) -> Told | Unavailable:
        try:
            await _require_commands(self._parts)
        except Unavailable as refusal:
            return refusal
        return await self._look()

    async def _look(self) -> Told:
        parts = self._parts
        read_models = parts.read_models.health()
        late = self._late.of(read_models, parts.ledger.writer.position, self._elapsed())
        lost = await run_sync(ghosts, parts.ledger)
        dispatcher = parts.dispatcher.health() if parts.dispatcher is not None else None
        problems = [
            *_of_read_models(read_models),
            *late,
            *_of_ghosts(lost[:MAX_GHOSTS]),
            *_of_dispatcher(dispatcher),
            *_of_recoveries(parts.recoveries),
            *_of_clock(parts.ledger.skew),
        ]
        return {
            "status": "degraded" if problems else "ready",
            "sandbox": parts.is_sandbox,
            "problems": problems,
            "position": parts.ledger.writer.position,
            "read_models": [
                {name: model[name] for name in _SHOWN_OF_READ_MODELS} for model in read_models
            ],
            "dispatcher": dispatcher and {name: dispatcher[name] for name in _SHOWN_OF_DISPATCHER},
            "ghosts": [ghost["id"] for ghost in lost[:MAX_GHOSTS]],
        }


class Lateness:
    """Since when each copy is on its way to where the book stood then.

    A busy ledger's copies are behind at every look, so what is timed is the way to one position.
    """

    def __init__(self) -> None:
        self._aims: dict[str, tuple[int, float]] = {}

    def of(self, read_models: Iterable[Told], end: int, elapsed: float) -> list[str]:
        """The copies that are late, in words."""
        return [problem for model in read_models for problem in self._late(model, end, elapsed)]

    def _late(self, model: Told, end: int, elapsed: float) -> Iterator[str]:
        name, position = model["name"], model["position"]
        aim, since = self._aims.get(name, (0, elapsed))
        if position >= aim:
            self._aims[name] = (end, elapsed)
        elif model["state"] == "behind" and elapsed - since > LATE_SECONDS:
            yield (
                f"The copy {name} is at position {position} of {end} and has not reached {aim} "
                f"for {elapsed - since:.0f} s."
            )


_SHOWN_OF_READ_MODELS = ("name", "version", "position", "state", "broken_at")
_SHOWN_OF_DISPATCHER = ("state", "open_runs", "lag_seconds")


async def _require_commands(parts: ServerParts) -> None:
    """A command that changes nothing goes the way of all: through the queue, past the writer, and
    after an append that failed to the disk.
    """
    try:
        probe = asyncio.wrap_future(parts.ledger.submit([CheckWriter()]))
        [answer] = await asyncio.wait_for(asyncio.shield(probe), PROBE_SECONDS)
    except TimeoutError:
        raise Unavailable(
            "No command is answered: the database may be away, or the writer hangs; the log says "
            "which."
        ) from None
    if isinstance(answer, LedgerError):
        raise Unavailable(answer.message)


def _of_read_models(read_models: list[Told]) -> Iterator[str]:
    for model in read_models:
        if model["broken_at"] is not None:
            yield f"The copy {model['name']} stopped at position {model['broken_at']}."
        elif model["state"] == "stopped":
            yield f"The copy {model['name']} is not kept up to date at present: see the log."


def _of_ghosts(lost: list[Told]) -> Iterator[str]:
    for ghost in lost:
        if ghost["status"] == "paused":
            yield f"Job {ghost['id']} is paused beyond {ghost['paused_until']}, when it was to end."
        elif ghost["next_run_at"] is not None:
            yield f"Job {ghost['id']} has been due since {ghost['next_run_at']} and is not run."
        else:
            yield f"Job {ghost['id']} is {ghost['status']} and will never fire."


def _of_dispatcher(dispatcher: Told | None) -> list[str]:
    if dispatcher is None or dispatcher["state"] == "running":
        return []
    return [f"The dispatcher is {dispatcher['state']}: what is due is not run."]


def _of_recoveries(driver: RecoveryDriver | None) -> list[str]:
    is_well = driver is None or driver.problem is None
    return [] if is_well else ["Recoveries do not go on at present: see the log."]


def _of_clock(skew: timedelta | None) -> list[str]:
    """The ledger goes by the database's clock; logs and certificates on this machine do not."""
    if skew is None or abs(skew) <= MAX_SKEW:
        return []
    how = "ahead of" if skew > timedelta() else "behind"
    return [f"This machine's clock is {abs(skew).total_seconds():.0f} s {how} the database's."]

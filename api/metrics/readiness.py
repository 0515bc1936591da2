"""Whether the ledger answers commands, and what else is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from anyio.to_thread import run_sync

from ledger.application.commands.jobs import CheckWriter
from ledger.application.ledger import Ledger
from ledger.clock import MAX_SKEW
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.errors import LedgerError, Unavailable
from ledger.maintenance.doctor import never_firing_jobs
from projections.read_models import ReadModels

PROBE_SECONDS = 2.0
LATE_SECONDS = 10.0
"""How long a read model may take to a position that the event store has reached."""
CACHE_SECONDS = 1.0
"""How long an answer is reused: it needs no token, and making one visits every job."""
MAX_GHOSTS = 100
"""Ghosts that an answer names."""

Document = dict[str, Any]


class Readiness:
    """Answers whether one server is ready. Caches the answer, and remembers since when each read
    model is behind.
    """

    def __init__(
        self,
        ledger: Ledger,
        read_models: ReadModels,
        dispatcher: Dispatcher | None,
        recoveries: RecoveryDriver | None,
        *,
        is_sandbox: bool = False,
    ) -> None:
        self._ledger = ledger
        self._read_models = read_models
        self._dispatcher = dispatcher
        self._recoveries = recoveries
        self._is_sandbox = is_sandbox
        self._elapsed = ledger.clock.elapsed
        self._lateness = Lateness()
        self._checking = asyncio.Lock()
        self._cached: tuple[float, Document | Unavailable] | None = None

    async def answer(self) -> Document:
        """`ready`, or `degraded` with the problems. Refuses Unavailable when commands are not
        answered.

        The answer needs no token, so it has ids and positions, and no name or text of a job.
        """
        async with self._checking:
            if self._cached is None or self._elapsed() - self._cached[0] >= CACHE_SECONDS:
                found = await self._check()
                self._cached = self._elapsed(), found
        answer = self._cached[1]
        if isinstance(answer, Unavailable):
            raise answer.with_traceback(None)
        return answer

    async def _check(self) -> Document | Unavailable:
        try:
            await _require_commands(self._ledger)
        except Unavailable as refusal:
            return refusal
        return await self._report()

    async def _report(self) -> Document:
        position = self._ledger.writer.position
        read_models = self._read_models.health()
        late = self._lateness.problems(read_models, position, self._elapsed())
        found = (await run_sync(never_firing_jobs, self._ledger))[:MAX_GHOSTS]
        dispatcher = self._dispatcher.health() if self._dispatcher is not None else None
        problems = [
            *_of_read_models(read_models),
            *late,
            *_of_ghosts(found),
            *_of_dispatcher(dispatcher),
            *_of_recoveries(self._recoveries),
            *_of_clock(self._ledger.skew),
        ]
        return {
            "status": "degraded" if problems else "ready",
            "sandbox": self._is_sandbox,
            "problems": problems,
            "position": position,
            "read_models": [
                {name: model[name] for name in READ_MODEL_FIELDS} for model in read_models
            ],
            "dispatcher": dispatcher and {name: dispatcher[name] for name in DISPATCHER_FIELDS},
            "ghosts": [ghost["id"] for ghost in found],
        }


READ_MODEL_FIELDS = ("name", "version", "position", "state", "broken_at")
DISPATCHER_FIELDS = ("state", "open_runs", "lag_seconds")


class Lateness:
    """How long each read model has been on its way to a position.

    The read models of a busy ledger are behind at every check, so the time to one position is
    measured.
    """

    def __init__(self) -> None:
        self._targets: dict[str, tuple[int, float]] = {}

    def problems(self, read_models: Iterable[Document], end: int, elapsed: float) -> list[str]:
        """A sentence for each read model that is late."""
        return [problem for model in read_models for problem in self._of(model, end, elapsed)]

    def _of(self, model: Document, end: int, elapsed: float) -> Iterator[str]:
        name, position = model["name"], model["position"]
        target, since = self._targets.get(name, (0, elapsed))
        if position >= target:
            self._targets[name] = (end, elapsed)
        elif model["state"] == "behind" and elapsed - since > LATE_SECONDS:
            yield (
                f"The read model {name} is at position {position} of {end} and has not reached "
                f"{target} for {elapsed - since:.0f} s."
            )


async def _require_commands(ledger: Ledger) -> None:
    """Refuse Unavailable unless a command that changes nothing is answered: it passes the queue and
    the writer, and after a failed append also the disk.
    """
    try:
        probe = asyncio.wrap_future(ledger.submit([CheckWriter()]))
        [answer] = await asyncio.wait_for(asyncio.shield(probe), PROBE_SECONDS)
    except TimeoutError:
        raise Unavailable(
            "No command is answered: the database is unreachable, or the writer hangs; see the log."
        ) from None
    if isinstance(answer, LedgerError):
        raise Unavailable(answer.message)


def _of_read_models(read_models: list[Document]) -> Iterator[str]:
    for model in read_models:
        if model["broken_at"] is not None:
            yield f"The read model {model['name']} stopped at position {model['broken_at']}."
        elif model["state"] == "stopped":
            yield f"The read model {model['name']} is not being updated: see the log."


def _of_ghosts(found: list[Document]) -> Iterator[str]:
    for ghost in found:
        if ghost["status"] == "paused":
            yield f"Job {ghost['id']} is still paused; its pause ended at {ghost['paused_until']}."
        elif ghost["next_run_at"] is not None:
            yield f"Job {ghost['id']} has been due since {ghost['next_run_at']} and does not run."
        else:
            yield f"Job {ghost['id']} is {ghost['status']} and will never fire."


def _of_dispatcher(dispatcher: Document | None) -> list[str]:
    if dispatcher is None or dispatcher["state"] == "running":
        return []
    return [f"The dispatcher is {dispatcher['state']}: due jobs do not run."]


def _of_recoveries(driver: RecoveryDriver | None) -> list[str]:
    has_problem = driver is not None and driver.problem is not None
    return ["Recoveries do not advance: see the log."] if has_problem else []


def _of_clock(skew: timedelta | None) -> list[str]:
    """The ledger uses the database's clock, but logs and certificates use this machine's."""
    if skew is None or abs(skew) <= MAX_SKEW:
        return []
    how = "ahead of" if skew > timedelta() else "behind"
    return [f"This machine's clock is {abs(skew).total_seconds():.0f} s {how} the database's."]

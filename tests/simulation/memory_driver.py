"""The decisions alone, driven without a store, threads or read models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from ledger.application.commands.command import Command, CommandResult, JobCommand
from ledger.application.unit_of_work import AlreadyAnswered, Limits, S, UnitOfWork
from ledger.domain.aggregate import Stream
from ledger.domain.events import Event, PositionOf
from ledger.domain.job.job import Job
from ledger.domain.job.view import view
from ledger.domain.streams.idempotency import IdempotencyKey
from ledger.domain.streams.names import Name
from tests.simulation.fleet_model import Order
from tests.simulation.orders import (
    STRANGER,
    Reply,
    command_of,
    context_of,
    open_run_of,
    replied,
    scheduling,
)
from tests.support.builders import ManualClock, an_id


class MemoryUnit(UnitOfWork):
    """The streams that commands decide on, and their events; it replaces the store."""

    def __init__(self) -> None:
        self.streams: dict[UUID, Stream] = {}
        self.events: list[Event] = []
        self.limits = Limits()

    def job(self, job_id: UUID) -> Job:
        return self._stream(Job, job_id)

    def new_job(self, job_id: UUID) -> Job:
        return self._stream(Job, job_id)

    @property
    def job_count(self) -> int:
        jobs = (stream for stream in self.streams.values() if isinstance(stream, Job))
        return sum(job.version > 0 and job.status != "deleted" for job in jobs)

    def lease_end(self, _: str) -> None:
        return None

    def _stream(self, kind: type[S], stream_id: UUID) -> S:
        return cast(S, self.streams.setdefault(stream_id, kind.blank(stream_id)))

    def append(self) -> None:
        """Append what was decided, each event at the next position."""
        for stream in self.streams.values():
            self.events.extend(stream.pending)
            stream.pending_events.clear()
        for position, event in enumerate(self.events, 1):
            self._fill(event)
            job = self.streams[event.originator_id]
            if isinstance(job, Job):
                job.locate(event.originator_version, position)

    def _fill(self, event: Event) -> None:
        for name in event.POSITIONS:
            value = getattr(event, name)
            filled = [*map(self.place, value)] if isinstance(value, list) else self.place(value)
            object.__setattr__(event, name, filled)

    def place(self, at: Any) -> Any:
        """The position that a reference means."""
        if not isinstance(at, PositionOf):
            return at
        places = [(event.originator_id, event.originator_version) for event in self.events]
        return places.index((at.stream, at.version)) + 1


class MemoryDriver:
    """The decisions alone: no store, no thread."""

    def __init__(self, _: Path) -> None:
        self.clock = ManualClock()
        self.ids = [STRANGER]
        self.unit = MemoryUnit()

    def give(self, order: Order) -> Reply:
        reply = replied(order, lambda: self._ask(order))
        self.unit.append()
        return reply

    def _ask(self, order: Order) -> Any:
        call = context_of(order, self.clock)
        if order.what == "schedule":
            command = scheduling(order, an_id(len(self.ids)), call)
        else:
            job_id = self.ids[order.job]
            command = command_of(order, job_id, open_run_of(self, job_id), call)
        try:
            return command.execute(self.unit)
        except AlreadyAnswered:
            return self._answer_again(command)

    def _answer_again(self, command: Command[Any]) -> CommandResult:
        assert isinstance(command, JobCommand)
        assert command.context.idempotency is not None
        key = self.unit._stream(IdempotencyKey, command.context.idempotency.stream)
        assert key.answered is not None
        job_id, version = UUID(key.answered.job_id), key.answered.version
        job = view(self.fold(job_id, upto=version))
        position = max(self.unit.place(at) for at in key.answered.positions)
        return CommandResult(position, job_id, job, True, version)

    def position(self) -> int:
        return len(self.unit.events)

    def head(self, job_id: UUID) -> Job | None:
        return self.unit.job(job_id)

    def fold(self, job_id: UUID, upto: int = 2**31) -> Job:
        job = Job.blank(job_id)
        for position, event in enumerate(self.unit.events, 1):
            if event.originator_id == job_id and event.originator_version <= upto:
                event.mutate(job)
                job.locate(event.originator_version, position)
        return job

    def shown(self, job_id: UUID) -> dict[str, Any] | None:
        job = self.unit.job(job_id)
        return None if job.status == "deleted" or not job.version else view(job)

    def count(self) -> int:
        return self.unit.job_count

    def restart(self) -> None:
        """Rebuild everything from the events."""
        events, self.unit = self.unit.events, MemoryUnit()
        kinds: Mapping[str, Callable[[UUID], Stream]] = {
            "job": Job.blank,
            "name": Name.blank,
            "request": IdempotencyKey.blank,
        }
        for event in events:
            blank = kinds[event.TOPIC.split(".")[0]](event.originator_id)
            event.mutate(self.unit.streams.setdefault(event.originator_id, blank))
        self.unit.events = events
        self.unit.append()

    def close(self) -> None: ...

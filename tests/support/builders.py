"""The basis of every test: a clock that stands still, jobs in any state, ledgers in folders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from ledger import Ledger
from ledger.application.command_context import CommandContext
from ledger.application.ledger import Limits
from ledger.domain.event_context import Actor
from ledger.domain.job import outcomes, runs
from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.job.spec import parse_spec


class SeededChance:
    """A source of chance that gives the same ids and salts for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)

    def new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ONCE = {"kind": "at", "at": "2026-03-02T12:01:00Z"}
HOURLY = {"kind": "cron", "expr": "0 * * * *"}
EVERY_MINUTE = {"kind": "cron", "expr": "* * * * *"}
FORCE = ResumeOptions(force=True)
OPERATOR = Actor("olga", "user")
FAILURE = outcomes.Failure("429 Too Many Requests", "rate_limited", "api.example.com", None, 7)
SUCCESS = outcomes.Success(output="", output_bytes=0, output_sha256="0" * 64, duration_ms=5)

_ids = count(1)


class ManualClock:
    """A clock that moves only when a test moves it."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.at

    def elapsed(self) -> float:
        return self.seconds

    def advance(self, step: timedelta) -> datetime:
        """Let time pass on both clocks."""
        self.at += step
        self.seconds += step.total_seconds()
        return self.at


def a_context(
    now: datetime = NOON, actor: Actor = OPERATOR, *, reason: str | None = None
) -> CommandContext:
    """The context of a test's command."""
    command_id = f"00000000-0000-4000-8000-{next(_ids):012d}"
    return CommandContext(now, command_id, actor, "library", None, reason)


def an_id(number: int) -> UUID:
    """An id that is the same in every test run."""
    return UUID(int=0x0DE5_0000_0000_4000_8000_0000_0000_0000 + number)


def a_spec(**fields: Any) -> dict[str, Any]:
    """The spec of a job: every minute, with nothing to do."""
    return {
        "name": "report",
        "schedule": {"kind": "every", "interval_seconds": 60},
        "task": "write the report",
        "executor": {"kind": "noop"},
        **fields,
    }


def a_job(*changes: Callable[[Job], None], number: int = 1, **fields: Any) -> Job:
    """A job scheduled at NOON, with `changes` applied in turn."""
    job = Job.blank(an_id(number))
    spec = parse_spec(a_spec(**fields), planner={"croniter": "0"}, anchor_at="2026-03-02T12:00:00Z")
    job.schedule_anew(spec, a_context(NOON))
    for change in changes:
        change(job)
    return job


def events_of(job: Job) -> list[str]:
    """The topics a job has recorded since it was built."""
    return [event.TOPIC for event in job.pending_events]  # type: ignore[attr-defined]


# -- changes ------------------------------------------------------------------------------------


def paused(until: datetime | None = None, *, at: datetime = NOON) -> Callable[[Job], None]:
    """An operator paused it."""
    return lambda job: _discard(job.pause(until, a_context(at)))


def running(*, at: datetime = NOON + MINUTE, is_late: bool = False) -> Callable[[Job], None]:
    """What was due has started."""
    return lambda job: _discard(
        runs.start_due(job, runs.Claim("node-1", is_late=is_late), a_context(at))
    )


def requested(*, at: datetime = NOON) -> Callable[[Job], None]:
    """A run was requested."""
    return lambda job: job.request_run(a_context(at))


def succeeded(*, at: datetime = NOON + MINUTE) -> Callable[[Job], None]:
    """The open run succeeded."""
    return lambda job: outcomes.succeed(job, open_run_id(job), SUCCESS, a_context(at))


def failed(
    error: str = "429 Too Many Requests",
    *,
    failure_class: str = "rate_limited",
    at: datetime = NOON + MINUTE,
    retry_after: datetime | None = None,
) -> Callable[[Job], None]:
    """The open run failed."""
    failure = outcomes.Failure(error, failure_class, "api.example.com", retry_after, 7)
    return lambda job: outcomes.fail(job, open_run_id(job), failure, a_context(at))


def lost(cause: str = "lease_expired", *, at: datetime = NOON + MINUTE) -> Callable[[Job], None]:
    """The outcome of the open run is unknown."""
    return lambda job: outcomes.lose(job, open_run_id(job), cause, a_context(at))


def blocked(
    cause: str = "commands are off", *, at: datetime = NOON + MINUTE
) -> Callable[[Job], None]:
    """The open run may not be executed here."""
    return lambda job: outcomes.block(job, open_run_id(job), cause, a_context(at))


def tripped(after: int = 10, *, failure_class: str = "rate_limited") -> Callable[[Job], None]:
    """It failed `after` times in a row, each time when it was due, and its breaker tripped."""

    def change(job: Job) -> None:
        for _ in range(after):
            due = (job.next_run_at or NOON) + job.parsed_policy.jitter(job.id)
            running(at=due)(job)
            failed(failure_class=failure_class, at=due)(job)

    return change


def again(end: Callable[..., Callable[[Job], None]], times: int) -> Callable[[Job], None]:
    """It was run whenever it was due, and each run ended as `end` says."""

    def change(job: Job) -> None:
        for _ in range(times):
            assert job.next_run_at is not None
            at = job.next_run_at
            running(at=at)(job)
            end(at=at)(job)

    return change


def disabled(job: Job) -> None:
    """An operator disabled it."""
    job.amend({"enabled": False}, a_context(NOON))


def completed(job: Job) -> None:
    """Its run succeeded; a one-shot is completed by it."""
    running()(job)
    succeeded()(job)


def deleted(*, at: datetime = NOON) -> Callable[[Job], None]:
    """An operator deleted it."""
    return lambda job: job.delete(a_context(at))


def open_run_id(job: Job) -> str:
    """The id of the run under way."""
    assert job.open_run is not None, "no run is open"
    return job.open_run.run_id


def clone(job: Job) -> Job:
    """A second job in the same state, for experiments."""
    twin = Job.blank(job.id)
    vars(twin).update(vars(job))
    twin._pending_events = []
    return twin


def _discard(_: object) -> None:
    pass


# -- ledgers ------------------------------------------------------------------------------------


def open_ledger(
    folder: Path, clock: ManualClock | None = None, *, max_jobs: int | None = None, seed: int = 0
) -> Ledger:
    """A ledger in a folder, on a clock that stands still, with ids that are the same every time."""
    return Ledger.open(
        folder / "data",
        clock=clock or ManualClock(),
        chance=SeededChance(seed),
        limits=Limits(max_jobs),
    )

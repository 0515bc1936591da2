"""The commands, as the writer runs them: load, decide, and answer. Every surface sends these and
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.application.batch import Command
from ledger.application.unit_of_work import RetryAfterCommit, UnitOfWork
from ledger.clock import rfc3339
from ledger.domain.events import PositionOf
from ledger.domain.job.imports import Past
from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.job.spec import FIELDS, parse_patch
from ledger.domain.job.view import view
from ledger.domain.metadata import EventMetadata
from ledger.domain.schedule.recurrence import next_fire, require_fires
from ledger.domain.schedule.schedules import parse_schedule
from ledger.domain.streams.idempotency import Answered
from ledger.errors import InvalidField, JobLimit, StaleRevision


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A key under which a command is to be answered once: the request's stream, and the fingerprint
    of its body.
    """

    key: str
    stream: UUID
    fingerprint: str


@dataclass(frozen=True, slots=True)
class CommandContext:
    """The circumstances of a command: when, by whom, from which revision, under which idempotency
    key.
    """

    now: datetime
    metadata: EventMetadata
    revision: int | None = None
    idempotency: Idempotency | None = None


@dataclass(slots=True)
class CommandResult:
    """What a command answers: the job as it was right after, whether anything changed, where the
    book stood.

    For a repeated idempotency key `job` is None and `repeats` holds the job's version at the first
    answer.
    """

    job_id: UUID
    job: dict[str, Any] | None
    changed: bool
    version: int
    position: int = 0
    repeats: bool = False


Decide = Callable[[UnitOfWork, Job], bool]


def prefetch_fires(schedule: Mapping[str, Any], enabled: bool, *, now: datetime) -> None:
    """Refuse a schedule that never fires, or only in the past; its first fire is remembered for the
    decision.
    """
    parsed = parse_schedule(schedule)
    require_fires(parsed, now=now)
    if enabled:
        next_fire(parsed, after=now)


# -- what operators ask -------------------------------------------------------------------------


def schedule(
    job_id: UUID,
    spec: Mapping[str, Any],
    call: CommandContext,
    *,
    max_jobs: int | None,
    past: Past | None = None,
) -> Command[CommandResult]:
    """Begin a job under a name of its own, or take one over with its past. `spec` comes from
    `parse_spec`.
    """

    def decide(unit: UnitOfWork, job: Job) -> bool:
        if max_jobs is not None and unit.job_count >= max_jobs:
            raise JobLimit(max_jobs)
        name = unit.name(spec["name"])
        name.require_free(spec["name"], job_id)
        begin(job, spec, past, call)
        name.reserve(spec["name"], job_id, now=call.now, metadata=call.metadata)
        return True

    beginning = on_job(job_id, call, decide, status=201)

    def command(unit: UnitOfWork) -> CommandResult:
        unit.expect_new(job_id)
        return beginning(unit)

    return command


def begin(job: Job, spec: Mapping[str, Any], past: Past | None, call: CommandContext) -> None:
    """Decide the beginning of a job's life here; with a past, also where it goes on from."""
    job.schedule_anew(spec, now=call.now, metadata=call.metadata)
    if past is not None:
        job.take_over(past.fields(job.next_run_at), now=call.now, metadata=call.metadata)


def amend(job_id: UUID, patch: Mapping[str, Any], call: CommandContext) -> Command[CommandResult]:
    """Change fields by a merge patch. The status never changes."""

    def decide(unit: UnitOfWork, job: Job) -> bool:
        current = {field: getattr(job, field) for field in FIELDS}
        job.require_amendable()
        changes = parse_patch(patch, current, anchor_at=rfc3339(call.now))
        if changes.get("schedule", job.schedule) != job.schedule:
            require_fires(parse_schedule(changes["schedule"]), now=call.now)
        old_name, new_name = job.name, changes.get("name", job.name)
        if new_name != old_name:
            unit.name(new_name).require_free(new_name, job_id)
        has_changed = job.amend(changes, now=call.now, metadata=call.metadata)
        if unit.name(new_name).id != unit.name(old_name).id:
            unit.name(old_name).release(old_name, job_id, now=call.now, metadata=call.metadata)
            unit.name(new_name).reserve(new_name, job_id, now=call.now, metadata=call.metadata)
        return has_changed

    return on_job(job_id, call, decide)


def pause(job_id: UUID, until: datetime | None, call: CommandContext) -> Command[CommandResult]:
    """Stop a job from firing, perhaps until an instant."""
    return on_job(
        job_id, call, lambda _, job: job.pause(until, now=call.now, metadata=call.metadata)
    )


def resume(
    job_id: UUID, revival: ResumeOptions, call: CommandContext, *, requires_reason: bool
) -> Command[CommandResult]:
    """Bring a job back; past its breaker only with force."""

    def decide(_: UnitOfWork, job: Job) -> bool:
        if (
            requires_reason
            and revival.force
            and job.status == "failed"
            and not call.metadata.reason
        ):
            raise InvalidField(
                "reason", "is needed to force a job past its breaker (JOBLEDGER_REQUIRE_REASON)"
            )
        return job.resume(revival, now=call.now, metadata=call.metadata)

    return on_job(job_id, call, decide)


def request_run(job_id: UUID, call: CommandContext) -> Command[CommandResult]:
    """Ask for one run now."""

    def decide(_: UnitOfWork, job: Job) -> bool:
        job.request_run(now=call.now, metadata=call.metadata)
        return True

    return on_job(job_id, call, decide, status=202)


def delete(job_id: UUID, call: CommandContext) -> Command[CommandResult]:
    """End a job and free its name. Its history stays."""

    def decide(unit: UnitOfWork, job: Job) -> bool:
        job.delete(now=call.now, metadata=call.metadata)
        unit.name(job.name).release(job.name, job_id, now=call.now, metadata=call.metadata)
        return True

    return on_job(job_id, call, decide)


def look_at(job_id: UUID) -> Command[dict[str, Any]]:
    """The job as it is, after every command before this one."""

    def command(unit: UnitOfWork) -> dict[str, Any]:
        job = unit.job(job_id)
        job.require_known()
        return view(job)

    return command


def on_job(
    job_id: UUID, call: CommandContext, decide: Decide, *, status: int = 200
) -> Command[CommandResult]:
    """A command about one job, under the conditions of its call: revision and idempotency key."""

    def command(unit: UnitOfWork) -> CommandResult:
        repeated = repeated_answer(unit, call)
        if repeated is not None:
            return repeated
        job = unit.job(job_id)
        before = job.version
        if call.revision is not None:
            job.require_known()
            if call.revision != job.revision:
                raise StaleRevision(job_id, expected=call.revision, actual=job.revision)
        changed = decide(unit, job)
        if changed:
            remember_answer(unit, job, before, call, status)
        return CommandResult(job_id, view(job), changed, job.version)

    return command


def remember_answer(
    unit: UnitOfWork, job: Job, before: int, call: CommandContext, status: int
) -> None:
    """Keep under the call's idempotency key, if it has one, what was appended since `before`."""
    if call.idempotency is not None:
        appended = tuple(range(before + 1, job.version + 1))
        answered = Answered(call.idempotency.fingerprint, status, job.id, job.version, appended)
        unit.request(call.idempotency.stream).answer(answered, now=call.now, metadata=call.metadata)


def repeated_answer(unit: UnitOfWork, call: CommandContext) -> CommandResult | None:
    """What the call's idempotency key was answered before, or None."""
    if call.idempotency is None:
        return None
    request = unit.request(call.idempotency.stream)
    request.require_same(call.idempotency.key, call.idempotency.fingerprint)
    answered = request.answered
    if answered is None:
        return None
    position = answered.positions[-1]
    if isinstance(position, PositionOf):
        raise RetryAfterCommit
    return CommandResult(
        UUID(answered.job_id), None, True, answered.version, position, repeats=True
    )

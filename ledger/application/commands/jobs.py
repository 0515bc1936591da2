"""Commands on one job: schedule, amend, pause, resume, run, delete. Every surface makes these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands.command import Command, JobCommand
from ledger.application.job_cache import JobCache
from ledger.application.snapshots import dump_job
from ledger.application.unit_of_work import UnitOfWork
from ledger.clock import rfc3339
from ledger.domain.job.imports import Past
from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.job.spec import FIELDS, parse_patch, parse_spec
from ledger.domain.job.view import view
from ledger.domain.schedule.recurrence import next_fire, planner, require_fires
from ledger.domain.schedule.schedules import parse_schedule
from ledger.errors import Forbidden, InvalidField, JobFailed, JobLimit


@dataclass(frozen=True)  # no slots: the parsed spec is cached on the instance
class ScheduleJob(JobCommand):
    """Create a job, or import one with its past. `spec` is the caller's input, not yet parsed.

    Refuses NameTaken, ScheduleInvalid, ScheduleNeverFires, ScheduleInPast, InvalidField,
    UnknownField, JobLimit.
    """

    job_id: UUID
    spec: Mapping[str, Any]
    context: CommandContext
    past: Past | None = None

    status = 201

    @cached_property
    def parsed_spec(self) -> Mapping[str, Any]:
        """All fields with their defaults."""
        return parse_spec(self.spec, planner=planner(), anchor_at=rfc3339(self.context.now))

    def prepare(self, cache: JobCache) -> None:  # noqa: ARG002  no cached job is needed
        schedule = parse_schedule(self.parsed_spec["schedule"])
        if self.past is not None:
            self.past.require_fires(self.parsed_spec["schedule"], now=self.context.now)
        else:
            require_fires(schedule, now=self.context.now)
        if self.parsed_spec["enabled"]:
            next_fire(schedule, after=self.context.now)

    def load(self, unit: UnitOfWork) -> Job:
        return unit.new_job(self.job_id)

    def decide(self, unit: UnitOfWork, job: Job) -> bool:
        limit, spec = unit.limits.max_jobs, self.parsed_spec
        if limit is not None and unit.job_count >= limit:
            raise JobLimit(limit)
        name = unit.name(spec["name"])
        name.require_free(spec["name"], self.job_id)
        self.begin(job)
        name.reserve(spec["name"], self.job_id, self.context)
        return True

    def begin(self, job: Job) -> None:
        """Record the first events of the job: scheduled, and with a past, imported."""
        job.schedule_anew(self.parsed_spec, self.context)
        if self.past is not None:
            job.record_import(self.past.fields(job.next_run_at), self.context)


@dataclass(frozen=True, slots=True)
class AmendJob(JobCommand):
    """Change fields by an RFC 7396 merge patch. The status never changes.

    Without `may_run_commands` a job whose executor is a command is refused (Forbidden).
    """

    job_id: UUID
    patch: Mapping[str, Any]
    context: CommandContext
    may_run_commands: bool = True

    def decide(self, unit: UnitOfWork, job: Job) -> bool:
        job.require_amendable()
        if not self.may_run_commands:
            require_no_command(job.executor)
        current = {field: getattr(job, field) for field in FIELDS}
        changes = parse_patch(self.patch, current, anchor_at=rfc3339(self.context.now))
        if changes.get("schedule", job.schedule) != job.schedule:
            require_fires(parse_schedule(changes["schedule"]), now=self.context.now)
        old_name, new_name = job.name, changes.get("name", job.name)
        if new_name != old_name:
            unit.name(new_name).require_free(new_name, job.id)
        has_changed = job.amend(changes, self.context)
        if unit.name(new_name).id != unit.name(old_name).id:
            unit.name(old_name).release(old_name, job.id, self.context)
            unit.name(new_name).reserve(new_name, job.id, self.context)
        return has_changed


@dataclass(frozen=True, slots=True)
class PauseJob(JobCommand):
    """Stop a job from firing, until `until` or until it is resumed. Refuses JobFailed, unless
    failed jobs are to be skipped.
    """

    job_id: UUID
    until: datetime | None
    context: CommandContext
    leave_failed: bool = False

    def decide(self, unit: UnitOfWork, job: Job) -> bool:  # noqa: ARG002  the job alone decides
        try:
            return job.pause(self.until, self.context)
        except JobFailed:
            if self.leave_failed:
                return False
            raise


@dataclass(frozen=True, slots=True)
class ResumeJob(JobCommand):
    """Make a job active again. A failed one needs `options.force`: the operator's statement that
    the cause is fixed.

    Refuses ForceRequired, JobCompleted, JobDisabled, ScheduleExhausted, JobNotFound; InvalidField
    when the installation requires a reason and none is given.
    """

    job_id: UUID
    options: ResumeOptions
    context: CommandContext

    def prepare(self, cache: JobCache) -> None:
        job = cache.jobs.get(self.job_id)
        if job is not None:
            # Counts the missed slots here: the job caches the count for the decision.
            job.missed_slots(self.context.now, job.status)

    def decide(self, unit: UnitOfWork, job: Job) -> bool:
        is_forced = self.options.force and job.status == "failed"
        if is_forced and unit.limits.requires_reason and not self.context.reason:
            raise InvalidField(
                "reason", "is required to force a failed job (JOBLEDGER_REQUIRE_REASON)"
            )
        return job.resume(self.options, self.context)


@dataclass(frozen=True, slots=True)
class RequestRun(JobCommand):
    """Ask for one run now. Refuses JobPaused, JobFailed, JobDisabled, RunInProgress."""

    job_id: UUID
    context: CommandContext

    status = 202

    def decide(self, unit: UnitOfWork, job: Job) -> bool:  # noqa: ARG002  the job alone decides
        job.request_run(self.context)
        return True


@dataclass(frozen=True, slots=True)
class DeleteJob(JobCommand):
    """Delete a job and release its name. Its history stays."""

    job_id: UUID
    context: CommandContext

    def decide(self, unit: UnitOfWork, job: Job) -> bool:
        job.delete(self.context)
        unit.name(job.name).release(job.name, job.id, self.context)
        return True


@dataclass(frozen=True, slots=True)
class ReadJob(Command[dict[str, Any]]):
    """The job as JSON, after every command before this one. Refuses JobNotFound."""

    job_id: UUID

    def execute(self, unit: UnitOfWork) -> dict[str, Any]:
        job = unit.job(self.job_id)
        job.require_known()
        return view(job)


@dataclass(frozen=True, slots=True)
class DumpJob(Command[tuple[int, bytes]]):
    """The version and the snapshot of a job, after every command before this one."""

    job_id: UUID

    def execute(self, unit: UnitOfWork) -> tuple[int, bytes]:
        job = unit.job(self.job_id)
        return job.version, dump_job(job)


@dataclass(frozen=True, slots=True)
class CheckWriter(Command[None]):
    """Decide nothing: answered when the writer works, refused like any command when it does not."""

    def execute(self, unit: UnitOfWork) -> None:
        pass


def require_no_command(executor: Mapping[str, Any] | None) -> None:
    """Refuse Forbidden for an executor that runs a command."""
    if executor is not None and executor.get("kind") == "command":
        raise Forbidden("Only an admin may amend a job that runs a command on this machine.")

"""A job: its state, and the decisions of operators about it.

A decision checks everything, then records; a refused one leaves the job unchanged. `evolve` has how
events change the state; `runs` and `outcomes` have the life of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from ledger.domain.event_context import EventContext
from ledger.domain.events import (
    ABOUT_A_RUN,
    Amended,
    Deleted,
    Event,
    FiresSkipped,
    ForceResumed,
    Imported,
    Paused,
    PositionOf,
    Resumed,
    RunRequested,
    Scheduled,
)
from ledger.domain.job.breaker import Policy, policy_of
from ledger.domain.job.evolve import EVOLVERS
from ledger.domain.job.state import JobState, OpenRun
from ledger.domain.schedule.recurrence import missed_fires, next_fire
from ledger.domain.schedule.schedules import At, Every, Schedule, parse_schedule, plain
from ledger.errors import (
    ForceRequired,
    InvalidField,
    JobCompleted,
    JobDisabled,
    JobFailed,
    JobNotFound,
    JobPaused,
    RunInProgress,
    RunSuperseded,
    ScheduleExhausted,
    ScheduleInPast,
)

CLOCK_CORRECTION = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """How a job is to be resumed: with force past the breaker, at an instant of the caller's, or at
    once.

    Only a recovery sets `first_at`: the slot plus the job's offset in the staggered order.
    """

    force: bool = False
    run_at: datetime | None = None
    run_now: bool = False
    first_at: datetime | None = None
    recovery_id: str | None = None


class Job(JobState):
    """The aggregate: the state, with the decisions that operators take about it."""

    def evolve(self, event: Event) -> None:
        """Apply one event. An event that does not concern the state changes only the version."""
        change = EVOLVERS.get(type(event))
        if change is not None:
            change(self, event)
        if type(event) not in ABOUT_A_RUN:
            self.revision = event.originator_version
        self.updated_at = event.timestamp

    # -- questions ------------------------------------------------------------------------------

    @cached_property
    def parsed_schedule(self) -> Schedule:
        """The schedule, parsed."""
        return parse_schedule(self.schedule)

    @cached_property
    def parsed_policy(self) -> Policy:
        """The policy, parsed."""
        return policy_of(self.policy)

    @property
    def is_one_shot(self) -> bool:
        return self.schedule.get("kind") == "at"

    @property
    def may_fire(self) -> bool:
        """Whether slots of its schedule start runs: it is active and enabled."""
        return self.status == "active" and self.enabled

    def next_slot(self, now: datetime, schedule: Schedule | None = None) -> datetime | None:
        """The next fire of its schedule, or of one it is about to get.

        Never a slot that was started or recorded as missed, even when the clock was set back
        (Google SRE ch. 24: prefer a skip to a double). When the clock was set back by more than
        three hours, that was a correction, and the schedule continues from now (cronie's manual).
        """
        is_set_back = now < self.settled_until <= now + CLOCK_CORRECTION
        after = self.settled_until if is_set_back else now
        return next_fire(schedule or self.parsed_schedule, after=after)

    def position_of(self, version: int, known: int | None) -> int | PositionOf:
        """The position of one of this job's events: known, or to be filled in by the append."""
        return PositionOf(self.id, version) if known is None else known

    # -- decisions ------------------------------------------------------------------------------

    def schedule_anew(self, spec: Mapping[str, Any], context: EventContext) -> None:
        """Record the first event of the job. `spec` has the fields of `job.scheduled` but
        next_run_at.
        """
        schedule = parse_schedule(spec["schedule"])
        next_run_at = next_fire(schedule, after=context.now) if spec["enabled"] else None
        self.record(
            Scheduled,
            context,
            **{**spec, "schedule": plain(schedule), "next_run_at": next_run_at},
        )

    def amend(self, changes: Mapping[str, Any], context: EventContext) -> bool:
        """Change fields; never the status. False when nothing differs. Refuses a deleted or
        completed job.
        """
        self.require_amendable()
        differing = {key: value for key, value in changes.items() if getattr(self, key) != value}
        if not differing:
            return False
        next_run_at = self._next_after_amend(differing, context.now)
        if self.enabled and ("schedule" in differing or "enabled" in differing):
            self._record_missed_before_change(context)
        self.record(Amended, context, changes=differing, next_run_at=next_run_at)
        return True

    def _record_missed_before_change(self, context: EventContext) -> None:
        """Record the missed slots of a schedule before it is replaced: none is dropped silently."""
        missed = self.missed_slots(
            context.now, "amended" if self.status == "active" else self.status
        )
        if missed is not None and self.open_run is None:
            self.record(FiresSkipped, context, missed=missed, next_run_at=None)

    def require_amendable(self) -> None:
        """Refuse a job that cannot be changed: one that does not exist, or is completed."""
        self.require_known()
        self._require_not_completed()

    def pause(self, until: datetime | None, context: EventContext) -> bool:
        """Stop firing, optionally until an instant. False when it is paused already and `until` is
        unchanged.
        """
        self.require_known()
        self._require_not_completed()
        if self.status == "failed":
            raise JobFailed(self.id)
        if until is not None and until <= context.now:
            raise InvalidField("until", "must be in the future")
        if self.status == "paused" and until in (None, self.paused_until):
            return False
        self.record(Paused, context, until=until)
        return True

    def resume(self, options: ResumeOptions, context: EventContext) -> bool:
        """Make the job active again; False when it is. The rules are those of
        ghostwright/phantom#138.

        Paused: always. Failed: only with force (ForceRequired). Completed: never. Disabled:
        JobDisabled. When its schedule has no fire left: ScheduleExhausted, unless `run_at` or
        `run_now` says when it runs.
        """
        self._require_resumable(options.force)
        _require_possible(options, context.now)
        if self.status == "active":
            return False
        next_run_at = self._next_after_resume(options, context.now)
        if self.is_one_shot and options.run_at is not None:
            self.record(
                Amended,
                context,
                changes={"schedule": plain(At(options.run_at))},
                next_run_at=None,
            )
        self._record_resume(options, next_run_at, context)
        if options.run_now:
            self.record(RunRequested, context, trigger="manual")
        return True

    def request_run(self, context: EventContext) -> None:
        """Ask the dispatcher for one run now. Refuses while one is under way or requested."""
        self.require_known()
        self._require_not_completed()
        if self.status == "failed":
            raise JobFailed(self.id)
        if not self.enabled:
            raise JobDisabled(self.id)
        if self.status == "paused":
            raise JobPaused(self.id)
        self._require_idle()
        self.record(RunRequested, context, trigger="manual")

    def delete(self, context: EventContext) -> None:
        """Delete the job. Its history stays."""
        self.require_known()
        self.record(Deleted, context)

    def record_import(self, imported: Mapping[str, Any], context: EventContext) -> None:
        """Record what another scheduler knew of this job, right after it was scheduled here."""
        self.record(Imported, context, **imported)

    def missed_slots(self, until: datetime, cause: str) -> dict[str, Any] | None:
        """The slots up to `until` that were neither started nor recorded, as an event's
        `missed`.
        """
        first = self.first_missed()
        if first is None or first > until:
            return None
        missed = missed_fires(self.parsed_schedule, first=first, until=until, cause=cause)
        return missed.plain() if missed else None

    def first_missed(self) -> datetime | None:
        """The first slot that was neither started nor recorded, past or future."""
        if not is_interval_from_end(self.parsed_schedule):
            return next_fire(self.parsed_schedule, after=self.settled_until)
        if self.stopped_at is None:
            return self.next_run_at
        return self.owed_from or next_fire(self.parsed_schedule, after=self.stopped_at)

    # -- parts of decisions ---------------------------------------------------------------------

    def _next_after_amend(self, changes: Mapping[str, Any], now: datetime) -> datetime | None:
        enabled = changes.get("enabled", self.enabled)
        if not enabled or self.status != "active":
            return None
        if "schedule" not in changes and self.enabled:
            return self.next_run_at
        if self.open_run is not None:
            return None
        fire = self.next_slot(now, parse_schedule(changes.get("schedule", self.schedule)))
        if fire is None and not self.is_run_requested:
            raise ScheduleExhausted(self.id, remedy="Set a new schedule in the same change.")
        return fire

    def _next_after_resume(self, options: ResumeOptions, now: datetime) -> datetime | None:
        if options.run_now:
            self._require_idle()
        next_run_at = options.run_at or options.first_at or self.next_slot(now)
        if next_run_at is None and not options.run_now:
            raise ScheduleExhausted(self.id)
        return next_run_at

    def _record_resume(
        self,
        options: ResumeOptions,
        next_run_at: datetime | None,
        context: EventContext,
    ) -> None:
        missed = self.missed_slots(context.now, self.status)
        if self.status == "paused":
            self.record(Resumed, context, next_run_at=next_run_at, missed=missed)
            return
        self.record(
            ForceResumed,
            context,
            next_run_at=next_run_at,
            missed=missed,
            tripped_at=self.tripped_at,
            trip_position=self.position_of(self.trip_version, self.trip_position),
            cleared_errors=self.consecutive_errors,
            last_error=self.trip_error,
            failure_class=self.trip_class,
            recovery_id=options.recovery_id,
        )

    def _require_resumable(self, force: bool) -> None:
        self.require_known()
        self._require_not_completed()
        if self.status == "failed" and not force:
            raise ForceRequired(
                self.id,
                tripped_at=self.tripped_at,
                last_error=self.trip_error,
                failure_class=self.trip_class,
            )
        if not self.enabled:
            raise JobDisabled(self.id)

    def require_known(self) -> None:
        """Refuse JobNotFound when the job was never scheduled, or is deleted."""
        if self.version == 0 or self.status == "deleted":
            raise JobNotFound(self.id)

    def has_open(self, run_id: str) -> bool:
        """Whether this very run is under way."""
        return self.open_run is not None and self.open_run.run_id == run_id

    def require_open(self, run_id: str) -> OpenRun:
        """The run under way. Refuses RunSuperseded when it is another, or there is none."""
        if self.open_run is None or self.open_run.run_id != run_id:
            raise RunSuperseded(run_id)
        return self.open_run

    def _require_not_completed(self) -> None:
        if self.status == "completed":
            raise JobCompleted(self.id)

    def _require_idle(self) -> None:
        if self.open_run is not None or self.is_run_requested:
            raise RunInProgress(self.id, self.open_run.run_id if self.open_run else None)


def _require_possible(options: ResumeOptions, now: datetime) -> None:
    if options.run_at is not None and options.run_now:
        raise InvalidField("run_at", "cannot be combined with run_now")
    if options.run_at is not None and options.run_at <= now:
        raise ScheduleInPast(options.run_at)


def is_interval_from_end(schedule: Schedule) -> bool:
    """Whether the schedule counts from the end of the last run, so that no slot passes while one is
    under way.
    """
    return isinstance(schedule, Every) and schedule.anchor == "end"


def job_id_of(text: str) -> UUID:
    """The id that `text` names; JobNotFound when it is not a UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise JobNotFound(text) from None

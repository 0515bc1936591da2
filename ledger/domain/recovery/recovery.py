"""A recovery: many tripped jobs resumed by one plan, one after the other.

Its events are a stream of its own. Which job comes next, when, and on whose behalf follows from
them alone, so a driver that continues it after a crash needs nothing else.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from ledger.clock import EPOCH
from ledger.domain.aggregate import Stream
from ledger.domain.event_context import Actor, EventContext
from ledger.domain.events import Event, Plain
from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.recovery.plan import Plan, require_recoverable
from ledger.errors import NotFound, Refused

RECOVERIES = UUID("0a4c2f5e-13c8-5a77-8f4b-27b3f9f7d005")
"""The namespace of recovery streams."""
PROBE_FAILED, RE_TRIPS, ASKED = "probe_failed", "re_trips", "asked"
"""Why a recovery is aborted."""
RESUMED, REFUSED = "resumed", "refused"
"""What a step does with its job."""
_NAME = re.compile(r"R-([1-9][0-9]{0,8})")


class RecoveryPlanned(Event):
    TOPIC = "recovery.planned"

    recovery_id: str
    storm_id: str | None
    selector: Plain | None
    jobs: list[str]
    refused: list[dict[str, str]]
    probe: str | None
    rate_per_minute: int | float
    abort_on: int | None


class RecoveryStepped(Event):
    TOPIC = "recovery.stepped"

    recovery_id: str
    job_id: str
    place: int
    outcome: str
    code: str | None
    message: str | None
    next_run_at: datetime | None
    job_version: int | None


class RecoveryAborted(Event):
    TOPIC = "recovery.aborted"

    recovery_id: str
    cause: str
    re_trips: int
    left: list[str]


class RecoveryCompleted(Event):
    TOPIC = "recovery.completed"

    recovery_id: str
    resumed: int
    refused: int
    re_trips: int


def recovery_name(number: int) -> str:
    """The name of the recovery with this number: R-1 is the ledger's first."""
    return f"R-{number}"


def recovery_number(name: str) -> int:
    """The number in a recovery's name; NotFound when it is not one."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise RecoveryNotFound(name)
    return int(found[1])


def recovery_stream(number: int) -> UUID:
    """The stream of a recovery. Numbers have no gaps: of two plans that are made at once, only one
    can begin the next stream.
    """
    return uuid5(RECOVERIES, str(number))


class RecoveryNotFound(NotFound):
    """There is no such recovery."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no recovery {name[:40]!r}; list them with jobledger recovery list or "
            "GET /v1/recoveries."
        )


class Recovery(Stream):
    """One recovery: its plan, and its progress. Its attributes are replaced, never changed in
    place.
    """

    def begin(self) -> None:
        self.name = ""
        self.jobs: tuple[str, ...] = ()
        self.probe: str | None = None
        self.interval = timedelta()
        self.abort_on: int | None = None
        self.plan_context = EventContext(EPOCH, "", Actor("", "system"), "")
        self.resumed_count = 0
        self.refused_count = 0
        self.last_step_at = EPOCH
        self.is_ended = False

    # -- questions ------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it was planned and has not ended."""
        return self.version > 0 and not self.is_ended

    @property
    def step_count(self) -> int:
        """How many steps were taken."""
        return self.resumed_count + self.refused_count

    @property
    def remaining(self) -> tuple[str, ...]:
        """The jobs whose step is still to come, in their order."""
        return self.jobs[self.step_count :]

    @property
    def is_probing(self) -> bool:
        """Whether the probe's step is the only one that was taken."""
        return self.probe is not None and self.step_count == 1

    def step_context(self, now: datetime, command_id: str) -> EventContext:
        """The context of a step: it is recorded as an act of its planner, with their surface and
        their reason.
        """
        return replace(self.plan_context, now=now, command_id=command_id)

    # -- decisions ------------------------------------------------------------------------------

    def plan(self, number: int, plan: Plan, context: EventContext) -> None:
        """Record which jobs are to be resumed, in which order and how fast."""
        self.record(
            RecoveryPlanned,
            context,
            recovery_id=recovery_name(number),
            storm_id=plan.selection.storm_id,
            selector=plan.selection.plain(),
            jobs=[str(job.id) for job in plan.jobs],
            refused=[refusal.plain() for refusal in plan.refused],
            probe=str(plan.terms.probe) if plan.terms.probe else None,
            rate_per_minute=plan.terms.rate_per_minute,
            abort_on=plan.terms.abort_on,
        )

    def step(self, job: Job, context: EventContext) -> None:
        """Take the step of the next job: it is resumed, its first fire shifted by its offset in the
        staggered order; or it is refused, because it changed since the plan, and stays as it is.
        """
        place = self.step_count
        is_probe = self.probe is not None and place == 0
        try:
            require_recoverable(job, context.now)
            slot = job.next_slot(context.now)
            first_at = slot + place * self.interval if slot is not None else None
            options = ResumeOptions(
                True, run_now=is_probe, first_at=first_at, recovery_id=self.name
            )
            job.resume(options, context)
        except (Refused, NotFound) as refusal:
            self._record_step(place, context, code=refusal.code, message=refusal.message)
        else:
            self._record_step(place, context, job=job)

    def abort(self, cause: str, re_trips: int, context: EventContext) -> bool:
        """Abort: the remaining jobs stay failed. False when it has ended before."""
        if not self.is_open:
            return False
        self.record(
            RecoveryAborted,
            context,
            recovery_id=self.name,
            cause=cause,
            re_trips=re_trips,
            left=list(self.remaining),
        )
        return True

    def complete(self, re_trips: int, context: EventContext) -> bool:
        """End it: all steps were taken, and their outcomes are known. False when it has ended
        before.
        """
        if not self.is_open:
            return False
        self.record(
            RecoveryCompleted,
            context,
            recovery_id=self.name,
            resumed=self.resumed_count,
            refused=self.refused_count,
            re_trips=re_trips,
        )
        return True

    def _record_step(
        self,
        place: int,
        context: EventContext,
        *,
        job: Job | None = None,
        code: str | None = None,
        message: str | None = None,
    ) -> None:
        self.record(
            RecoveryStepped,
            context,
            recovery_id=self.name,
            job_id=self.jobs[place],
            place=place,
            outcome=RESUMED if job else REFUSED,
            code=code,
            message=message,
            next_run_at=job.next_run_at if job else None,
            job_version=job.version if job else None,
        )

    # -- what happened --------------------------------------------------------------------------

    def evolve(self, event: Event) -> None:
        match event:
            case RecoveryPlanned():
                self._planned(event)
            case RecoveryStepped(outcome="resumed"):
                self.resumed_count += 1
                self.last_step_at = event.timestamp
            case RecoveryStepped():
                self.refused_count += 1
                self.last_step_at = event.timestamp
            case RecoveryAborted() | RecoveryCompleted():
                self.is_ended = True

    def _planned(self, event: RecoveryPlanned) -> None:
        self.name = event.recovery_id
        self.jobs = tuple(event.jobs)
        self.probe = event.probe
        self.interval = timedelta(seconds=60 / event.rate_per_minute)
        self.abort_on = event.abort_on
        self.plan_context = EventContext(
            event.timestamp,
            event.command_id,
            Actor(event.actor["id"], event.actor["kind"]),
            event.source,
            event.correlation_id,
            event.reason,
        )

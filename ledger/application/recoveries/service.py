"""Recoveries as a library asks for them: planned, rehearsed, stopped, and told.

What was planned is carried out by `ledger.dispatch.recovery_driver.RecoveryDriver`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands import recoveries as recovery_commands
from ledger.application.commands.jobs import CommandContext
from ledger.application.commands.recoveries import Forecast, RecoveryAnswer
from ledger.application.job_names import JobNameHistory
from ledger.application.open_recoveries import OpenRecoveries
from ledger.application.recoveries import forecast as forecasts
from ledger.application.recoveries.history import SUCCEEDED, RecoveryHistory, RecoveryReader
from ledger.application.recoveries.views import Aftermath, jobs_told, refused_told, summary
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.recovery import RecoveryNotFound, recovery_number
from ledger.domain.recovery.selection import Selection
from ledger.store.audit_query import MAX_PAGE

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger

DEFAULT_TERMS = Terms()


class Recoveries:
    """The recoveries of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known = OpenRecoveries(ledger.event_store, ledger.mapper)
        """Looked at by the writer's thread alone."""
        self._reader = RecoveryReader(ledger.event_store, ledger.mapper)
        self._names = JobNameHistory(ledger.event_store, ledger.mapper)

    # -- commands -------------------------------------------------------------------------------

    def plan(
        self, selection: Selection, terms: Terms = DEFAULT_TERMS, *, reason: str | None = None
    ) -> dict[str, Any]:
        """Begin a recovery, and give it as it is told. Refuses InvalidField and NobodyToRevive."""
        command = self.plan_command(selection, terms, self._ledger.context(reason))
        return self.answered(self._ledger.execute(command))

    def dry_run(self, selection: Selection, terms: Terms = DEFAULT_TERMS) -> dict[str, Any]:
        """What `plan` would do now; nothing is kept."""
        call = self._ledger.context()
        forecast = self._ledger.execute(self.rehearsal_command(selection, terms, call))
        return forecasts.forecast_view(forecast, call.now)

    def abort(self, recovery_id: str, *, reason: str | None = None) -> dict[str, Any]:
        """Stop a recovery, and give it as it is told; one that has ended is left as it is."""
        command = self.abort_command(recovery_id, self._ledger.context(reason))
        return self.answered(self._ledger.execute(command))

    # -- commands as objects, for callers that wait in their own way -----------------------------

    def plan_command(
        self, selection: Selection, terms: Terms, call: CommandContext
    ) -> Command[RecoveryAnswer]:
        """The command that begins a recovery. Looks ahead here, before the queue."""
        self._look_ahead(call)
        return recovery_commands.plan(
            selection,
            terms,
            call,
            self._known,
            requires_reason=self._ledger.limits.requires_reason,
        )

    def rehearsal_command(
        self, selection: Selection, terms: Terms, call: CommandContext
    ) -> Command[Forecast]:
        """The command that judges a plan and keeps nothing."""
        self._look_ahead(call)
        return recovery_commands.rehearse(selection, terms, call.now, self._known)

    def abort_command(self, recovery_id: str, call: CommandContext) -> Command[RecoveryAnswer]:
        """The command that stops a recovery. RecoveryNotFound when there is none."""
        number, until = recovery_number(recovery_id), self._ledger.writer.position
        story = self._reader.history(number, until)
        return recovery_commands.abort(number, len(self._trips(story, until)), call)

    def _look_ahead(self, call: CommandContext) -> None:
        """The next slots of all who may be judged, so that the writer finds them known."""
        for job in self._ledger.job_cache.snapshot():
            if job.status == "failed":
                job.next_slot(call.now)

    # -- questions ------------------------------------------------------------------------------

    def one(self, recovery_id: str, *, as_of: int | None = None) -> dict[str, Any]:
        """One recovery with its jobs, as it stands, or stood at a position. RecoveryNotFound."""
        until = self._until(as_of)
        return self._told(self._reader.history(recovery_number(recovery_id), until), until)

    def page(
        self, *, cursor: int | None = None, limit: int = 50, as_of: int | None = None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """One page of recoveries without their jobs, the newest first, and the cursor of the
        next.
        """
        until, size = self._until(as_of), max(1, min(limit, MAX_PAGE))
        found = self._reader.numbers(cursor, size + 1, until)
        following = found[size - 1][1] if len(found) > size else None
        stories = (self._reader.history(number, until) for number, _ in found[:size])
        return [self._summary(story, until) for story in stories], following

    def answered(self, answer: RecoveryAnswer) -> dict[str, Any]:
        """The recovery that a command answered, as it stood then: the same whenever it is asked."""
        name = self._name_of(answer.stream)
        return self.one(name, as_of=answer.position)

    def _name_of(self, stream: UUID) -> str:
        first = self._ledger.event_store.stream(stream, after=0, upto=1, limit=1)
        if not first:
            raise RecoveryNotFound(str(stream))
        return str(self._ledger.mapper.to_recorded_events(first)[0].data["recovery_id"])

    def _told(self, story: RecoveryHistory, until: int) -> dict[str, Any]:
        refused = [one["job_id"] for one in story.planned.data["refused"]]
        after = Aftermath(
            self._trips(story, until),
            self._reader.first_outcomes(story.revived, until),
            self._names.of([*story.recovery.jobs, *refused], until),
        )
        return {
            **self._summary(story, until),
            "jobs": jobs_told(story, after),
            "refused": refused_told(story, after),
        }

    def _summary(self, story: RecoveryHistory, until: int) -> dict[str, Any]:
        is_open = story.end is None
        re_trip_count = len(self._trips(story, until)) if is_open else 0
        held = is_open and self._has_probe_held(story, until)
        return summary(story, has_probe_held=held, re_trip_count=re_trip_count)

    def _trips(self, story: RecoveryHistory, until: int) -> dict[UUID, Any]:
        last = story.end.position if story.end is not None else until
        return self._reader.trips(story.revived, story.planned.position, last)

    def _has_probe_held(self, story: RecoveryHistory, until: int) -> bool:
        probing = story.recovery.is_probing and story.revived
        outcome = self._reader.first_outcome(story.steps[0], until) if probing else None
        return outcome is not None and outcome.topic == SUCCEEDED

    def _until(self, as_of: int | None) -> int:
        return self._ledger.event_store.tail_position() if as_of is None else as_of

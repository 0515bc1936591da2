"""Queries about recoveries: one, all, as they were; the answer of a command about one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands.recoveries import AbortRecovery, RecoveryResult
from ledger.application.job_names import JobNameHistory
from ledger.application.recoveries.history import SUCCEEDED, RecoveryHistory, RecoveryReader
from ledger.application.recoveries.views import Aftermath, job_views, refused_views, summary
from ledger.domain.recovery.recovery import RecoveryNotFound, recovery_number
from ledger.store.audit_query import MAX_PAGE
from ledger.store.event_reader import EventReader


class RecoveryQueries:
    """The recoveries of one ledger, read from their events."""

    def __init__(self, events: EventReader) -> None:
        self._events = events
        self._reader = RecoveryReader(events)
        self._names = JobNameHistory(events)

    def one(self, recovery_id: str, *, as_of: int | None = None) -> dict[str, Any]:
        """One recovery with its jobs, as it is, or was at a position. RecoveryNotFound."""
        until = self._until(as_of)
        return self._view(self._reader.history(recovery_number(recovery_id), until), until)

    def page(
        self, *, cursor: int | None = None, limit: int = 50, as_of: int | None = None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """One page of recoveries without their jobs, the newest first, and the next cursor."""
        until, size = self._until(as_of), max(1, min(limit, MAX_PAGE))
        found = self._reader.numbers(cursor, size + 1, until)
        following = found[size - 1][1] if len(found) > size else None
        histories = (self._reader.history(number, until) for number, _ in found[:size])
        return [self._summary(history, until) for history in histories], following

    def as_answered(self, result: RecoveryResult) -> dict[str, Any]:
        """The recovery of a command's result, as it was then: the same whenever it is asked."""
        first = self._events.stream(result.stream, after=0, upto=1, limit=1)
        if not first:
            raise RecoveryNotFound(str(result.stream))
        return self.one(str(first[0].data["recovery_id"]), as_of=result.position)

    def abort_command(self, recovery_id: str, context: CommandContext) -> AbortRecovery:
        """The command that aborts a recovery, with its re-trips counted. RecoveryNotFound."""
        number, until = recovery_number(recovery_id), self._events.tail_position()
        history = self._reader.history(number, until)
        return AbortRecovery(number, len(self._trips(history, until)), context)

    def _view(self, history: RecoveryHistory, until: int) -> dict[str, Any]:
        refused = [one["job_id"] for one in history.planned.data["refused"]]
        after = Aftermath(
            self._trips(history, until),
            self._reader.first_outcomes(history.resumed, until),
            self._names.of([*history.recovery.jobs, *refused], until),
        )
        return {
            **self._summary(history, until),
            "jobs": job_views(history, after),
            "refused": refused_views(history, after),
        }

    def _summary(self, history: RecoveryHistory, until: int) -> dict[str, Any]:
        is_open = history.end is None
        re_trip_count = len(self._trips(history, until)) if is_open else 0
        has_succeeded = is_open and self._has_probe_succeeded(history, until)
        return summary(history, has_probe_succeeded=has_succeeded, re_trip_count=re_trip_count)

    def _trips(self, history: RecoveryHistory, until: int) -> dict[UUID, Any]:
        last = history.end.position if history.end is not None else until
        return self._reader.trips(history.resumed, history.planned.position, last)

    def _has_probe_succeeded(self, history: RecoveryHistory, until: int) -> bool:
        probing = history.recovery.is_probing and history.resumed
        outcome = self._reader.first_outcome(history.steps[0], until) if probing else None
        return outcome is not None and outcome.topic == SUCCEEDED

    def _until(self, as_of: int | None) -> int:
        return self._events.tail_position() if as_of is None else as_of

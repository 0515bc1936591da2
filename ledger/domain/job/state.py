"""The state of a job: the attributes that its events fold to. Uses no schedule, clock or policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.clock import EPOCH, parse_rfc3339
from ledger.domain import events as e
from ledger.domain.aggregate import Stream


@dataclass(frozen=True, slots=True)
class OpenRun:
    """The one run of a job that has started and not ended. Instants are UTC."""

    run_id: str
    fence: int
    scheduled_for: datetime
    trigger: str
    attempt: int
    node: str
    started_at: datetime
    lease_until: datetime


class JobState(Stream):
    """The attributes of a job, and how each event changes them."""

    def begin(self) -> None:
        self.name = ""
        self.description: str | None = None
        self.schedule: dict[str, Any] = {}
        self.task = ""
        self.executor: dict[str, Any] | None = None
        self.delivery: dict[str, Any] | None = None
        self.policy: dict[str, Any] = {}
        self.tags: list[str] = []
        self.enabled = True
        self.delete_after_run = False
        self.created_at = EPOCH
        self.updated_at = EPOCH
        self.created_by: dict[str, str] = {}
        self.revision = 0
        self.position = 0
        self._begin_running()
        self._begin_breaker()

    def _begin_running(self) -> None:
        self.status = "active"
        self.next_run_at: datetime | None = None
        self.paused_until: datetime | None = None
        self.stopped_at: datetime | None = None
        self.owed_from: datetime | None = None
        self.is_run_requested = False
        self.awaits_first_run = False
        self.open_run: OpenRun | None = None
        self.last_run: dict[str, Any] | None = None
        self.last_delivery: dict[str, Any] | None = None
        self.run_count = 0
        self.attempts = 0
        self.settled_until = EPOCH

    def _begin_breaker(self) -> None:
        self.consecutive_errors = 0
        self.consecutive_losses = 0
        self.first_error_version = 0
        self.first_error_position: int | None = None
        self.trip_version = 0
        self.trip_position: int | None = None
        self.tripped_at: datetime | None = None
        self.trip_error: str | None = None
        self.trip_class: str | None = None
        self.probe_at: datetime | None = None
        self.probe_wait_seconds = 0.0

    def locate(self, version: int, position: int) -> None:
        """Record the position of the event of `version`, which the store assigns at the append."""
        self.position = position
        if version == self.trip_version:
            self.trip_position = position
        if version == self.first_error_version:
            self.first_error_position = position

    def account_for(self, missed: dict[str, Any] | None, at: datetime) -> None:
        """Mark slots up to the last missed one as accounted for (up to `at`, where counting
        stopped).
        """
        if missed is not None:
            self.settled_until = at if missed["capped"] else parse_rfc3339(missed["last"])

    def begin_run(self, event: e.RunStarted) -> None:
        """A run has started."""
        self.open_run = OpenRun(
            event.run_id,
            event.fence,
            event.scheduled_for,
            event.trigger,
            event.attempt,
            event.node,
            event.timestamp,
            event.lease_until,
        )

    def clear_streaks(self) -> None:
        self.consecutive_errors = 0
        self.consecutive_losses = 0
        self.attempts = 0
        self.first_error_version = 0
        self.first_error_position = None

    def clear_trip(self) -> None:
        self.trip_version = 0
        self.trip_position = None
        self.tripped_at = None
        self.trip_error = None
        self.trip_class = None
        self.probe_at = None
        self.probe_wait_seconds = 0.0

    def forget_compiled(self) -> None:
        """Drop what was derived from the schedule and the policy: they changed."""
        self.__dict__.pop("parsed_schedule", None)
        self.__dict__.pop("parsed_policy", None)

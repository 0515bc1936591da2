"""Storms as the notifier needs to know them. Read models detect storms; the ledger only queries
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from ledger.domain.recovery.selection import StormMembers


@dataclass(frozen=True, slots=True)
class StormNotice:
    """A storm as it is now. `is_final`: it is over and cannot reopen under its id. Positions are
    those of its first failure and of its last.
    """

    id: str
    signature: str
    failure_class: str
    first_failed_at: datetime
    last_failed_at: datetime
    first_position: int
    last_position: int
    is_final: bool
    failure_count: int
    trip_count: int
    job_names: Sequence[str]


class StormSource(Protocol):
    """Queries about storms; raises LedgerError when they cannot be answered now."""

    def recent(self, *, after: int, now: datetime) -> Sequence[StormNotice]:
        """The storms of the last days that opened after a position, oldest first."""

    def has_failure(self, job_id: UUID, version: int, *, position: int) -> bool:
        """Whether the failure at a version of a job belongs to a storm, as of a position."""

    def members(self, storm_id: str) -> StormMembers:
        """The jobs that tripped in a storm: those that its recovery would consider."""


class NoStormSource:
    """No storm detection: every trip is reported by itself."""

    def recent(self, *, after: int, now: datetime) -> Sequence[StormNotice]:  # noqa: ARG002  see above
        return ()

    def has_failure(self, job_id: UUID, version: int, *, position: int) -> bool:  # noqa: ARG002
        return False

    def members(self, storm_id: str) -> StormMembers:
        return StormMembers(storm_id, {})

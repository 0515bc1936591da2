"""Storms as whoever tells people of them has to know them. What a storm is stands above the ledger,
in the copies; here it is only asked.
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
    """A storm as it is now. `is_final`: it is over and cannot come back under its id. Positions are
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
    """What is to be known of storms; raises LedgerError where that cannot be told now."""

    def recent(self, *, after: int, now: datetime) -> Sequence[StormNotice]:
        """The storms of the last days that opened after a position, oldest first."""
        ...

    def has_taken(self, job_id: UUID, version: int, *, position: int) -> bool:
        """Whether the failure at a version of a job is a storm's, as of a position of the book."""
        ...

    def members(self, storm_id: str) -> StormMembers:
        """Who tripped in a storm: whom its recovery would judge."""
        ...


class NoStormSource:
    """Where nobody keeps an eye on storms: then every trip is told by itself."""

    def recent(self, *, after: int, now: datetime) -> Sequence[StormNotice]:  # noqa: ARG002  see above
        return ()

    def has_taken(self, job_id: UUID, version: int, *, position: int) -> bool:  # noqa: ARG002
        return False

    def members(self, storm_id: str) -> StormMembers:
        return StormMembers(storm_id, {})

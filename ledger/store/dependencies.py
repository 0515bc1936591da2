"""What a ledger takes from outside, and what an installation allows."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.chance import Chance
from ledger.clock import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """What an installation allows: how many jobs, and whether forcing needs a reason."""

    max_jobs: int | None = None
    requires_reason: bool = False


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a ledger takes from outside: time, chance, and what the installation allows."""

    clock: Clock
    chance: Chance
    limits: Limits
